import type { Dispatcher } from 'undici'
import type { LogicalContext } from '../context/logical-context.ts'
import { captureSnapshot, type AsyncSnapshot } from '../context/storage.ts'
import { atDeadline } from './deadline.ts'

type Handler = Required<Dispatcher.DispatchHandler>
type Controller = Dispatcher.DispatchController

/**
 * A handler in the context of whoever dispatches: undici itself calls handlers in the context of the connection, which
 * is that of any other request. What dispatches once more in a callback, `redirect` and `retry`, then does it here.
 */
export class ContextHandler implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler
  readonly #entry: AsyncSnapshot = captureSnapshot()
  /** Whether the headers hold what only the first host may know. */
  readonly #confidential: boolean
  #controller: Controller | undefined
  #forget: (() => void) | undefined
  /** Why the handler was told of the end before the request began. */
  #ended: Error | undefined

  constructor(handler: Dispatcher.DispatchHandler, confidential: boolean) {
    this.#handler = handler
    this.#confidential = confidential
  }

  /** Dispatches, unless the deadline of `context` is over. */
  dispatch(context: LogicalContext, call: () => string, dispatch: (handler: this) => boolean): boolean {
    this.#forget = atDeadline(context, call, (reason) => this.#abort(reason))
    return this.#ended === undefined ? dispatch(this) : true
  }

  onRequestStart(controller: Controller, context: { history?: readonly URL[] } | null | undefined): void {
    this.#controller = controller
    const followed = context?.history !== undefined && context.history.length > 0
    if (this.#ended !== undefined) controller.abort(this.#ended)
    else if (this.#confidential && followed) controller.abort(wrongOrder())
    else this.#call('onRequestStart', controller, context)
  }

  onRequestUpgrade(...args: Parameters<Handler['onRequestUpgrade']>): void {
    this.#forget?.()
    this.#call('onRequestUpgrade', ...args)
  }

  onResponseStarted(): void {
    this.#call('onResponseStarted')
  }

  onResponseStart(...args: Parameters<Handler['onResponseStart']>): void {
    this.#call('onResponseStart', ...args)
  }

  onResponseData(...args: Parameters<Handler['onResponseData']>): void {
    this.#call('onResponseData', ...args)
  }

  onResponseEnd(...args: Parameters<Handler['onResponseEnd']>): void {
    this.#forget?.()
    this.#call('onResponseEnd', ...args)
  }

  onResponseError(...args: Parameters<Handler['onResponseError']>): void {
    this.#forget?.()
    this.#call('onResponseError', ...args)
  }

  onBodySent(...args: Parameters<Handler['onBodySent']>): void {
    this.#call('onBodySent', ...args)
  }

  onRequestSent(): void {
    this.#call('onRequestSent')
  }

  #call<Event extends keyof Handler>(event: Event, ...args: Parameters<Handler[Event]>): void {
    if (this.#ended !== undefined) return
    const callback = this.#handler[event] as ((...args: Parameters<Handler[Event]>) => void) | undefined
    if (callback !== undefined) this.#entry.runInAsyncScope(callback, this.#handler, ...args)
  }

  /** A request that waits for a connection has nothing to abort yet: its handler is told, and it ends when it starts. */
  #abort(reason: Error): void {
    if (this.#controller !== undefined) {
      this.#controller.abort(reason)
      return
    }
    this.#entry.runInAsyncScope(() => this.#handler.onResponseError?.(null as never, reason))
    this.#ended = reason
  }
}

function wrongOrder(): TypeError {
  return new TypeError(
    'undiciInterceptor: a redirect was about to take along what only the first host may know. ' +
      'Compose undiciInterceptor() before redirect().',
  )
}
