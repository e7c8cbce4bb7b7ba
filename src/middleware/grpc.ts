import type { Socket } from 'node:net'
import type { Metadata, ServerInterceptingCall, ServerInterceptor } from '@grpc/grpc-js'
import { ClientGoneError, TimeoutError } from '../errors.ts'
import { checkCalled } from '../options.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { Inbound, type InboundMessage, type InboundOptions } from './inbound.ts'

/** For the option `interceptors` of a `Server`. */
export interface GrpcServerInterceptor extends ServerInterceptor {
  /** The task group and the counters. Call `inbound.group.drain()` after the server's `tryShutdown()`. */
  readonly inbound: Inbound
}

type Listener = Parameters<ServerInterceptingCall['start']>[0]

/** gRPC over HTTP/2, "TimeoutValue": a positive integer of at most 8 digits. */
const maxTimeout = 99_999_999

/**
 * Creates an interceptor for servers of `@grpc/grpc-js` that opens a unit for each call, unary or streaming: it has
 * values in the handler and in the events of its stream. Its signal aborts when the client cancels and at the deadline.
 *
 * The unit ends with the call. grpc-js does not report when an async handler settles: one that continues reads only the
 * survivors. Register it first: the interceptors after it then run in the unit.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type.
 */
export function grpcServerInterceptor(options?: InboundOptions, ...calledByGrpc: never[]): GrpcServerInterceptor {
  checkCalled('grpcServerInterceptor', 'an interceptor', 'grpcServerInterceptor()', options, ...calledByGrpc)
  const inbound = new Inbound(options, { owner: 'grpcServerInterceptor' })

  const intercept: ServerInterceptor = (method, given) => {
    // We change this call: a `ServerInterceptingCall` around it would load the package.
    const call = given as ServerInterceptingCall
    const { start, sendStatus } = call
    const startedAt = Date.now()
    let scope: RequestScope | undefined
    let status: number | undefined

    call.start = (listener) => {
      start.call(call, {
        onReceiveMetadata(metadata) {
          scope = inbound.open(method.path, messageOf(call, metadata))
          setCallAttributes(scope, method.path, undefined)
          scope.run(() => {
            scope?.captureSnapshot()
            listener.onReceiveMetadata(metadata)
          })
        },
        onReceiveMessage: (message) => inScope(scope, listener, 'onReceiveMessage', message),
        onReceiveHalfClose: () => inScope(scope, listener, 'onReceiveHalfClose'),
        // grpc-js calls it at the end of each call, whatever the ending.
        onCancel() {
          if (scope !== undefined && status === undefined) scope.abort(new ClientGoneError(scope.name))
          inScope(scope, listener, 'onCancel')
          if (scope !== undefined) setCallAttributes(scope, method.path, status ?? cancelled)
          // The stream of the call emits `close` next.
          setImmediate(() => scope?.close())
        },
      })
    }
    call.sendStatus = (sent) => {
      status ??= sent.code
      if (status === deadlineExceeded) scope?.abort(new TimeoutError(method.path, Date.now() - startedAt))
      sendStatus.call(call, sent)
    }
    return call
  }
  return Object.assign(intercept, { inbound })
}

/** By number. gRPC, "Status codes and their use in gRPC" */
const statuses =
  'OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED'.split(
    ' ',
  )
const cancelled: number = statuses.indexOf('CANCELLED')
const deadlineExceeded: number = statuses.indexOf('DEADLINE_EXCEEDED')

/** Sets the attributes of a call's span, by the names of OpenTelemetry's conventions for RPC. */
function setCallAttributes(scope: RequestScope, path: string, status: number | undefined): void {
  if (scope.observation === undefined) return
  const code = status === undefined ? undefined : (statuses[status] ?? String(status))
  // The full name of the method, `package.Service/Method`: without the slash at the start of the HTTP/2 path.
  const attributes = { 'rpc.system.name': 'grpc', 'rpc.method': path.slice(1), 'rpc.response.status_code': code }
  scope.observation?.setAttributes?.(attributes)
}

function inScope<Event extends keyof Listener>(
  scope: RequestScope | undefined,
  listener: Listener,
  event: Event,
  ...args: Parameters<Listener[Event]>
): void {
  const callback = listener[event] as (...args: Parameters<Listener[Event]>) => void
  if (scope === undefined) callback.apply(listener, args)
  else scope.runInSnapshot(callback, listener, ...args)
}

/** The call as an inbound message, with the parts of its socket that grpc-js exposes. */
function messageOf(call: ServerInterceptingCall, metadata: Metadata): InboundMessage {
  const peer = call.getPeer()
  const certificate = call.getAuthContext().sslPeerCertificate
  const socket = {
    remoteAddress: peer === 'unknown' ? undefined : peer.slice(0, peer.lastIndexOf(':')),
    authorized: certificate !== undefined,
    getPeerCertificate: () => certificate ?? {},
  }
  const headers = metadata.toHttp2Headers() as InboundMessage['headers']
  // grpc-js removes the deadline from the metadata.
  const remainingMs = Math.floor(Number(call.getDeadline()) - Date.now())
  if (Number.isFinite(remainingMs)) headers['grpc-timeout'] = `${Math.min(Math.max(1, remainingMs), maxTimeout)}m`
  return { headers, socket: socket as Partial<Socket> as Socket }
}
