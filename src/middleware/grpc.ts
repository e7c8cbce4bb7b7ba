import type { Socket } from 'node:net'
import type { Metadata, ServerInterceptingCall, ServerInterceptor } from '@grpc/grpc-js'
import { ClientGoneError, TimeoutError } from '../errors.ts'
import { checkOptions } from '../options.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { cancelled, deadlineExceeded, setCallAttributes } from './grpc-facts.ts'
import { Inbound, inboundChecks, type InboundMessage, type InboundOptions } from './inbound.ts'

/** For the option `interceptors` of a `Server`. */
export interface GrpcServerInterceptor extends ServerInterceptor {
  /** What is counted and owned: `inbound.group.drain()` belongs behind the server's `tryShutdown()`. */
  readonly inbound: Inbound
}

type Listener = Parameters<ServerInterceptingCall['start']>[0]

/** gRPC over HTTP/2, "TimeoutValue": a positive integer of at most 8 digits. */
const maxTimeout = 99_999_999

/**
 * An interceptor for servers of `@grpc/grpc-js` that gives each call, unary or of streams, a unit of its own: values in
 * the handler and in its stream's events. Its signal aborts when the client cancels and when the deadline is over.
 *
 * The unit ends with the call: grpc-js does not tell when an async handler has settled, so one that goes on finds
 * survivors only. Register it first: the interceptors after it then run in the unit.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type.
 */
export function grpcServerInterceptor(options?: InboundOptions): GrpcServerInterceptor {
  checkOptions('grpcServerInterceptor', options, inboundChecks)
  const inbound = new Inbound({
    onError: (error, task) => console.error(`logical-context: task '${task.name}' has failed`, error),
    onRefusal: (refusal) => console.error(`logical-context: not taken: ${refusal.field}`, refusal),
    ...options,
  })

  const intercept: ServerInterceptor = (method, given) => {
    // The call there is belongs to us; a ServerInterceptingCall around it would have to load the package.
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
        // grpc-js calls it at the end of each call, however it ends.
        onCancel() {
          if (scope !== undefined && status === undefined) scope.abort(new ClientGoneError(scope.name))
          inScope(scope, listener, 'onCancel')
          if (scope !== undefined) setCallAttributes(scope, method.path, status ?? cancelled)
          scope?.close()
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

/** The call as the trunk knows messages, with what of its socket grpc-js tells. */
function messageOf(call: ServerInterceptingCall, metadata: Metadata): InboundMessage {
  const peer = call.getPeer()
  const certificate = call.getAuthContext().sslPeerCertificate
  const socket = {
    remoteAddress: peer === 'unknown' ? undefined : peer.slice(0, peer.lastIndexOf(':')),
    authorized: certificate !== undefined,
    getPeerCertificate: () => certificate ?? {},
  }
  const headers = metadata.toHttp2Headers() as InboundMessage['headers']
  // grpc-js has taken the deadline out.
  const remainingMs = Math.floor(Number(call.getDeadline()) - Date.now())
  if (Number.isFinite(remainingMs)) headers['grpc-timeout'] = `${Math.min(Math.max(1, remainingMs), maxTimeout)}m`
  return { headers, socket: socket as Partial<Socket> as Socket }
}
