import type { InterceptingCall, Interceptor, Metadata, status as Status } from '@grpc/grpc-js'
import { captureSnapshot, type AsyncSnapshot } from '../context/storage.ts'
import { checkCalled } from '../options.ts'
import type { Carrier } from '../propagators/carrier.ts'
import { deadline } from '../variables/deadline.ts'
import { callContext, callLimits } from './call-deadline.ts'
import { type Target, targetOf } from './destinations.ts'
import { Outbound } from './outbound.ts'
import type { OutboundOptions } from './outbound-options.ts'
import { type EndCall, startCall } from './start-call.ts'

type Start = InterceptingCall['start']
type Listener = NonNullable<Parameters<Start>[1]>

/** The status of a call whose deadline has passed. */
const deadlineExceeded: Status = 4
/** The status of a call that succeeded. */
const succeeded: Status = 0
/** The port of a target without one. */
const defaultPort = '443'

/** For the option `interceptors` of a client or a call. */
export interface GrpcClientInterceptor extends Interceptor {
  /** Counts the fields that were not sent. */
  readonly outbound: Outbound
}

/**
 * An interceptor for clients of `@grpc/grpc-js`. It writes the caller's context into the metadata of each call: trace
 * and request id, and values for the listed hosts. The context is read when the call is made. Metadata that is already
 * set stays, and the caller's `Metadata` is not changed. The earlier of the caller's deadline and the call's applies.
 *
 * Callbacks and stream events run in the context of the caller; grpc-js itself may call them in another call's. The
 * host is the one of the channel's target, also if the channel uses a proxy; a rule with a scheme matches none.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type, or a host is invalid.
 */
export function grpcClientInterceptor(options?: OutboundOptions, ...calledByGrpc: never[]): GrpcClientInterceptor {
  checkCalled('grpcClientInterceptor', 'an interceptor', 'grpcClientInterceptor()', options, ...calledByGrpc)
  const outbound = new Outbound('grpcClientInterceptor', options)

  const intercept: Interceptor = (callOptions, nextCall) => {
    const context = callContext()
    const snapshot = captureSnapshot()
    const end = context.get(deadline) ?? Infinity
    const limits = callLimits()
    // The callee may have its own deadline, and a timer may fire a millisecond early.
    const stopIfTimedOut = () => (Date.now() >= end - 1 ? limits.stop(end) : undefined)
    const call = nextCall({
      ...callOptions,
      deadline: earlier(callOptions.deadline, end),
    }) as InterceptingCall
    const endCall = startCall('grpcClientInterceptor', () => `gRPC ${callOptions.method_definition.path}`)
    const next: Start = call.start.bind(call)
    // A new InterceptingCall would load the package. This one belongs to this call only, so it can be changed.
    call.start = function start(metadata, listener) {
      const written = metadata.clone()
      outbound.inject(context, new MetadataCarrier(written), targetOfCall(call))
      next(written, listener && listenerIn(snapshot, listener, stopIfTimedOut, endCall))
    }
    return call
  }
  return outbound.asClient(intercept)
}

/** The earlier of the call's own deadline and the context's. */
function earlier(own: Date | number | undefined, inherited: number): Date | number | undefined {
  if (inherited === Infinity || Number.isNaN(inherited)) return own
  return own === undefined ? inherited : Math.min(Number(own), inherited)
}

/** The parts of a call that lead to its channel. grpc-js does not declare them; any of them may be missing. */
interface CallInternals {
  /** The call of the next interceptor. */
  readonly nextCall?: CallInternals
  readonly call?: { readonly channel?: { readonly options?: Readonly<Record<string, unknown>>; getTarget(): string } }
}

/**
 * The service that the program named. For a channel through a proxy, the channel's target and `getPeer()` are the proxy,
 * and the service is in an option of the channel. Null if that option cannot be read.
 */
function targetOfCall(call: InterceptingCall): Target | null {
  let inner = call as unknown as CallInternals
  while (inner.nextCall !== undefined) inner = inner.nextCall
  const channel = inner.call?.channel
  if (channel?.options === undefined) return null
  const service = channel.options['grpc.http_connect_target']
  return targetOfUri(typeof service === 'string' ? service : channel.getTarget())
}

/**
 * The host of a channel's target such as `dns:orders.internal:50051`, `dns:///orders.internal` or `ipv6:[::1]:50051`;
 * null for a list of addresses, and for a target without a host.
 */
function targetOfUri(target: string): Target | null {
  const [, host, port = defaultPort] = /^(?:(?:dns|ipv4|ipv6):(?:\/\/[^/]*\/)?)?(.+?)(?::(\d+))?$/.exec(target) ?? []
  return host === undefined ? null : targetOf('grpc:', host, port)
}

/** Each callback has one parameter: grpc-js distinguishes kinds of listeners by that. */
function listenerIn(
  snapshot: AsyncSnapshot,
  listener: Listener,
  stopIfTimedOut: () => unknown,
  endCall: EndCall | undefined,
): Listener {
  return {
    onReceiveMetadata: (metadata) => snapshot.runInAsyncScope(() => listener.onReceiveMetadata?.(metadata)),
    onReceiveMessage: (message) => snapshot.runInAsyncScope(() => listener.onReceiveMessage?.(message)),
    onReceiveStatus: (status) => {
      // grpc-js copies all properties of the status to the error.
      const cause = status.code === deadlineExceeded ? stopIfTimedOut() : undefined
      const withCause = cause === undefined ? status : { ...status, cause }
      endCall?.(undefined, status.code === succeeded ? undefined : withCause)
      snapshot.runInAsyncScope(() => listener.onReceiveStatus?.(withCause))
    },
  }
}

class MetadataCarrier implements Carrier {
  readonly #metadata: Metadata

  constructor(metadata: Metadata) {
    this.#metadata = metadata
  }

  get(name: string): string | undefined {
    const values = this.#metadata.get(name)
    return values.length === 0 ? undefined : values.map(String).join(', ')
  }

  has(name: string): boolean {
    // gRPC itself sends the deadline.
    return name === 'grpc-timeout' || this.#metadata.get(name).length > 0
  }

  set(name: string, value: string): void {
    this.#metadata.set(name, value)
  }
}
