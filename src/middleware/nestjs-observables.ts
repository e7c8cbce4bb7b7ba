import type { IncomingMessage } from 'node:http'
import { isThenable, keepShape } from '../callbacks.ts'
import { currentCell } from '../context/cell.ts'
import { captureSnapshot } from '../context/storage.ts'
import { type Exchange, exchangeOf } from './exchange.ts'

/** The members of an observable of rxjs that are used here. */
interface Observable {
  lift(operator: Operator): Observable
  subscribe(observer: Partial<Subscriber>): { unsubscribe(): void }
}

interface Subscriber {
  next(value?: unknown): void
  error(error: unknown): void
  complete(): void
}

interface Operator {
  call(subscriber: Subscriber, source: Observable): unknown
}

type Request = IncomingMessage | { readonly raw: IncomingMessage }

/** The methods of Nest's router that observe the connection of a client. Older versions of Nest 11 omit the last two. */
interface Observing {
  sse?(result: unknown, response: unknown, request: IncomingMessage, options: unknown): Promise<void>
  fromClientDisconnect?(request: Request, response: unknown): Observable
  getOrCreateAbortController?(request: IncomingMessage): AbortController
}

/** What calls the interceptors of a handler. */
interface Intercepting {
  intercept(interceptors: Interceptor[] | undefined, args: [request?: unknown], ...rest: unknown[]): Promise<unknown>
}

interface Interceptor {
  intercept(context: unknown, next: { handle(): Observable }): unknown
}

let replaced: Promise<void> | undefined

/**
 * Makes the observables of a request emit to its interceptors and end in its unit. Their sources, and the events of the
 * connection in which Nest ends them, are shared with other requests. Replaces three methods for all apps of the process.
 * They change nothing outside a unit.
 */
export function observablesInUnit(): Promise<void> {
  return (replaced ??= replaceMethods().catch((error: unknown) => {
    // A version of Nest with other files. The requests are served as before.
    process.emitWarning(
      `logical-context: observables do not emit and end in the unit of their request: ${String(error)}`,
    )
  }))
}

async function replaceMethods(): Promise<void> {
  const [responses, executions, interceptors] = await Promise.all([
    import('@nestjs/core/router/router-response-controller.js'),
    import('@nestjs/core/router/router-execution-context.js'),
    import('@nestjs/core/interceptors/interceptors-consumer.js'),
  ])
  replaceSse(responses.RouterResponseController.prototype as object)
  replaceDisconnect(executions.RouterExecutionContext.prototype as object)
  replaceIntercept(interceptors.InterceptorsConsumer.prototype as object as Intercepting)
}

/** For the operators that interceptors add to the observable of the handler, or of the interceptor inside. */
function replaceIntercept(prototype: Intercepting): void {
  const { intercept } = prototype
  prototype.intercept = keepShape<typeof intercept>(
    intercept,
    function (this: Intercepting, interceptors, args, ...rest) {
      const enter = entered(args[0])
      if (enter === undefined) return intercept.call(this, interceptors, args, ...rest)
      const entering = interceptors?.map((interceptor) => ({
        intercept: (context: unknown, next: { handle(): Observable }) =>
          interceptor.intercept(context, { handle: () => emittedInUnit(enter, next.handle()) }),
      }))
      return intercept.call(this, entering, args, ...rest)
    },
  )
}

type Enter = Exchange['enter']

/** Runs functions in the unit of a request; for a resolver of GraphQL or a gateway, in the unit that calls this. */
function entered(request: unknown): Enter | undefined {
  const exchange = exchangeOfRequest(request)
  if (exchange !== undefined) return exchange.enter.bind(exchange)
  if (currentCell() === undefined) return undefined
  const snapshot = captureSnapshot()
  return (fn, receiver, ...args) => snapshot.runInAsyncScope(fn, receiver, ...args)
}

function emittedInUnit(enter: Enter, observable: Observable): Observable {
  return observable.lift({
    call: (subscriber, source) =>
      source.subscribe({
        next: (value) => enter(subscriber.next, subscriber, value),
        error: (error) => enter(subscriber.error, subscriber, error),
        complete: () => enter(subscriber.complete, subscriber),
      }),
  })
}

/** The exchange of a request of either platform, or of the first argument of another transport: then undefined. */
function exchangeOfRequest(request: unknown): Exchange | undefined {
  return exchangeOf((request as Partial<{ raw: object }> | undefined)?.raw ?? (request as object | undefined))
}

/** For a handler with `@Sse()`. */
function replaceSse(prototype: Observing): void {
  const { sse } = prototype
  if (sse === undefined) return
  prototype.sse = keepShape<typeof sse>(sse, function (this: Observing, result, response, request, options) {
    const exchange = exchangeOf(request)
    if (exchange === undefined) return sse.call(this, result, response, request, options)
    const controller = this.getOrCreateAbortController?.(request)
    if (controller !== undefined) {
      controller.abort = (reason) => exchange.enter(AbortController.prototype.abort, controller, reason)
    }
    const inUnit = (observable: unknown) => unsubscribedInUnit(exchange, observable)
    return sse.call(this, isThenable(result) ? result.then(inUnit) : inUnit(result), response, request, options)
  })
}

function unsubscribedInUnit(exchange: Exchange, observable: unknown): unknown {
  if (!isObservable(observable)) return observable
  return observable.lift({
    call(subscriber, source) {
      const subscription = source.subscribe({
        next: (value) => subscriber.next(value),
        error: (error) => subscriber.error(error),
        complete: () => subscriber.complete(),
      })
      return () => exchange.enter(subscription.unsubscribe, subscription)
    },
  })
}

function isObservable(value: unknown): value is Observable {
  return typeof (value as Partial<Observable> | null | undefined)?.lift === 'function'
}

/** For a handler that returns an observable of one reply. The result emits when the client disconnects. */
function replaceDisconnect(prototype: Observing): void {
  const { fromClientDisconnect } = prototype
  if (fromClientDisconnect === undefined) return
  prototype.fromClientDisconnect = keepShape<typeof fromClientDisconnect>(
    fromClientDisconnect,
    function (this: Observing, request, response) {
      const disconnect = fromClientDisconnect.call(this, request, response)
      const exchange = exchangeOfRequest(request)
      if (exchange === undefined) return disconnect
      return disconnect.lift({
        call: (subscriber, source) => source.subscribe({ next: () => exchange.enter(subscriber.next, subscriber) }),
      })
    },
  )
}
