import type { Code, ConnectError, Interceptor, StreamRequest, UnaryRequest } from '@connectrpc/connect'
import type { LogicalContext } from '../context/logical-context.ts'
import { stepsIn } from '../context/steps-in.ts'
import { captureSnapshot } from '../context/storage.ts'
import { TimeoutError } from '../errors.ts'
import { checkCalled } from '../options.ts'
import type { Carrier } from '../propagators/carrier.ts'
import { deadline } from '../variables/deadline.ts'
import { callContext, callLimits, withDeadline } from './call-deadline.ts'
import { Outbound } from './outbound.ts'
import type { OutboundOptions } from './outbound-options.ts'
import { startCall } from './start-call.ts'

/** For the option `interceptors` of a transport. */
export interface ConnectClientInterceptor extends Interceptor {
  /** Counts the fields that were not sent. */
  readonly outbound: Outbound
}

/**
 * An interceptor for clients of `@connectrpc/connect`, for every transport and protocol. It writes the caller's context
 * into the headers of each call: trace and request id, and values for the listed hosts. The context is read when the call
 * is made. A header that is already set stays.
 *
 * The earlier of the caller's deadline and the call's `timeoutMs` is sent. At the caller's deadline the call fails with
 * the code `deadline_exceeded`, whose cause is a `TimeoutError`. A stream of requests is read in the context of the caller.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type, or a host is invalid.
 */
export function connectClientInterceptor(options?: OutboundOptions): ConnectClientInterceptor {
  checkCalled('connectClientInterceptor', 'an interceptor', 'connectClientInterceptor()', options)
  const outbound = new Outbound('connectClientInterceptor', options)

  const intercept: Interceptor = (next) => async (request) => {
    const context = callContext()
    const call = new Call(context, request)
    const endCall = startCall('connectClientInterceptor', () => `Connect ${nameOf(request)}`)
    // A copy: an interceptor before this one can make the call again.
    const header = new Headers(request.header)
    writeTimeout(header, context.get(deadline))
    outbound.inject(context, new HeaderCarrier(header), URL.parse(request.url))
    try {
      call.signal.throwIfAborted()
      const response = await next({ ...call.request, header, signal: call.signal })
      endCall?.(undefined, undefined)
      if (response.stream) return { ...response, message: call.follow(response.message) }
      call.end()
      return response
    } catch (error) {
      const failure = await call.failure(error)
      endCall?.(undefined, failure)
      throw failure
    }
  }
  return outbound.asClient(intercept)
}

const deadlineExceeded: Code = 4

function nameOf({ service, method }: UnaryRequest | StreamRequest): string {
  return `${service.typeName}/${method.name}`
}

/** A call and the deadline of its caller. */
class Call {
  readonly request: UnaryRequest | StreamRequest
  readonly signal: AbortSignal
  /** Clears the timer of the deadline. */
  readonly end: () => void
  readonly #deadline: number
  readonly #limits = callLimits()

  constructor(context: LogicalContext, request: UnaryRequest | StreamRequest) {
    const { signal, clear } = withDeadline(context, () => nameOf(request), request.signal)
    const snapshot = captureSnapshot()
    const enter = <R>(step: () => R) => snapshot.runInAsyncScope(step)
    this.request = request.stream ? { ...request, message: stepsIn(enter, request.message) } : request
    this.signal = signal as AbortSignal
    this.end = () => clear?.()
    this.#deadline = context.get(deadline) ?? Infinity
  }

  async *follow<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
    try {
      yield* messages
    } catch (error) {
      throw await this.failure(error)
    } finally {
      // Also if the reader stops early.
      this.end()
    }
  }

  /** Transports report every aborted signal as a cancellation by the caller. */
  async failure(error: unknown): Promise<unknown> {
    this.end()
    const { reason } = this.signal as { reason: unknown }
    if (reason instanceof TimeoutError) {
      const connect = await import('@connectrpc/connect')
      return new connect.ConnectError(reason.message, deadlineExceeded, undefined, undefined, reason)
    }
    // The callee has the same deadline, and can fail first. A timer may fire a millisecond early.
    if ((error as ConnectError | null)?.code === deadlineExceeded && Date.now() >= this.#deadline - 1) {
      const cause = this.#limits.stop(this.#deadline)
      if (cause !== undefined) (error as ConnectError).cause = cause
    }
    return error
  }
}

/** The field of the remaining time, and its longest time, by protocol. */
const grpcTimeout = 'grpc-timeout'
const connectTimeout = 'connect-timeout-ms'
/** Connect, "Timeout-Milliseconds": at most 10 digits. */
const maxConnectMs = 9_999_999_999
/** gRPC over HTTP/2, "TimeoutValue": at most 8 digits. */
const maxGrpcMs = 99_999_999

/** Writes the remaining time, unless the call's own `timeoutMs` is shorter. */
function writeTimeout(header: Headers, end: number | undefined): void {
  if (end === undefined || !Number.isFinite(end)) return
  const isGrpc = header.get('content-type')?.startsWith('application/grpc') === true
  const name = isGrpc ? grpcTimeout : connectTimeout
  const remainingMs = Math.max(1, Math.floor(end - Date.now()))
  const own = header.get(name)
  if (own !== null && !(remainingMs < Number.parseInt(own, 10))) return
  header.set(name, isGrpc ? `${Math.min(remainingMs, maxGrpcMs)}m` : `${Math.min(remainingMs, maxConnectMs)}`)
}

class HeaderCarrier implements Carrier {
  readonly #header: Headers

  constructor(header: Headers) {
    this.#header = header
  }

  get(name: string): string | undefined {
    return this.#header.get(name) ?? undefined
  }

  has(name: string): boolean {
    // The protocol's own field has the deadline.
    return name === grpcTimeout || this.#header.has(name)
  }

  set(name: string, value: string): void {
    this.#header.set(name, value)
  }
}
