import type { Dispatcher } from 'undici'
import { current } from '../context/current.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { captureEntry } from '../context/storage.ts'
import type { TimeoutError } from '../errors.ts'
import { checkOptions } from '../options.ts'
import { atDeadline } from './deadline.ts'
import { Outbound, outboundChecks, type OutboundOptions } from './outbound.ts'
import { UndiciCarrier } from './undici-headers.ts'

type Dispatch = Dispatcher.Dispatch
type Options = Dispatcher.DispatchOptions & { stripHeadersOnRedirect?: readonly string[] | null }
type Handler = Dispatcher.DispatchHandler

/** An interceptor for `dispatcher.compose`. */
export interface UndiciInterceptor {
  /** `origin` is that of a Pool or a Client, as undici 8 tells it. */
  (dispatch: Dispatch, origin?: string | null): Dispatch
  /** What could not go out, counted. */
  readonly outbound: Outbound
}

export interface UndiciInterceptorOptions extends OutboundOptions {
  /** Where a Pool or a Client sends everything. Default: what undici 8 tells, or what each call says. */
  origin?: string | URL
}
