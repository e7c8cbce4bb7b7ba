import type { InterceptingCall, Interceptor, Metadata, status as Status } from '@grpc/grpc-js'
import { captureSnapshot, type AsyncSnapshot } from '../context/storage.ts'
import { checkOptions } from '../options.ts'
import type { Carrier } from '../propagators/carrier.ts'
import { callContext } from './call-context.ts'
import { deadline } from '../variables/deadline.ts'
import { callerStop } from './deadline.ts'
import { type Target, targetOf } from './destinations.ts'
import { Outbound, outboundChecks, type OutboundOptions } from './outbound.ts'

type Start = InterceptingCall['start']
type Listener = NonNullable<Parameters<Start>[1]>

/** The status of a call whose deadline is over. */
const deadlineExceeded: Status = 4
/** Of a target without a port. */
const defaultPort = '443'

/** For the option `interceptors` of a client, or of a call. */
export interface GrpcClientInterceptor extends Interceptor {
  /** What could not go out, counted. */
  readonly outbound: Outbound
}

/**
 * An interceptor for clients of `@grpc/grpc-js` that tells the callee of its caller's context: trace and request id, and
 * values to the hosts on a list. The context is read when the call is made; metadata that is set already stays, and the
 * caller's `Metadata` is not changed. Of the caller's deadline and the call's, the earlier one holds.
 *
 * Callbacks and stream events run in the context of the caller; grpc-js would call them in that of another call. Hosts
 * are judged by the channel's target; a rule with a scheme matches none.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type, and for what is no host.
 */
export function grpcClientInterceptor(options?: OutboundOptions): GrpcClientInterceptor {
  checkOptions('grpcClientInterceptor', options, outboundChecks)
  const outbound = new Outbound('grpcClientInterceptor', options)

  const intercept: Interceptor = (callOptions, nextCall) => {
    const context = callContext()
    const entry = captureSnapshot()
    const end = context.get(deadline) ?? Infinity
    const stopCaller = callerStop(end)
    // The callee may have had a deadline of its own, and a timer may be early by a millisecond.
    const stopIfOver = () => (Date.now() >= end - 1 ? stopCaller?.() : undefined)
    const call = nextCall({
      ...callOptions,
      deadline: earlier(callOptions.deadline, end),
    }) as InterceptingCall
    const start: Start = call.start.bind(call)
    // grpc-js would have us make an InterceptingCall, and so load the package; the one that is there is ours alone.
    call.start = (metadata, listener) => {
      const told = metadata.clone()
      outbound.inject(context, new MetadataCarrier(told), targetOfChannel(call.getPeer()))
      start(told, listener && listenerIn(entry, listener, stopIfOver))
    }
    return call
  }
  return Object.assign(intercept, { outbound })
}

/** Of the call's own deadline and the context's the earlier one. */
function earlier(own: Date | number | undefined, inherited: number): Date | number | undefined {
  if (inherited === Infinity || Number.isNaN(inherited)) return own
  return own === undefined ? inherited : Math.min(Number(own), inherited)
}

/**
 * The host of a target such as `dns:orders.internal:50051`, `dns:///orders.internal` or `ipv6:[::1]:50051`; null for a
 * list of addresses and for what names no host.
 */
function targetOfChannel(target: string): Target | null {
  const [, host, port = defaultPort] = /^(?:(?:dns|ipv4|ipv6):(?:\/\/[^/]*\/)?)?(.+?)(?::(\d+))?$/.exec(target) ?? []
  return host === undefined ? null : targetOf('grpc:', host, port)
}

/** A listener whose callbacks have one parameter each, as grpc-js tells listeners of callbacks apart. */
function listenerIn(entry: AsyncSnapshot, listener: Listener, stopIfOver: () => unknown): Listener {
  return {
    onReceiveMetadata: (metadata) => entry.runInAsyncScope(() => listener.onReceiveMetadata?.(metadata)),
    onReceiveMessage: (message) => entry.runInAsyncScope(() => listener.onReceiveMessage?.(message)),
    onReceiveStatus: (status) => {
      // What grpc-js makes an error of has all that the status has.
      const cause = status.code === deadlineExceeded ? stopIfOver() : undefined
      const told = cause === undefined ? status : { ...status, cause }
      entry.runInAsyncScope(() => listener.onReceiveStatus?.(told))
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
