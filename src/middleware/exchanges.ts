import { root } from '../context/storage.ts'
import { InFlight, LinkedList, type Listed } from '../tasks/linked-list.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { after } from '../tasks/timer.ts'
import { Exchange, type Message, type Response } from './exchange.ts'
import { enterAtRawReply, flushInUnit } from './replies.ts'

/** The exchanges of a server that are not sealed. After the response has closed, the wait for each of them is bounded. */
export class Exchanges extends InFlight<Exchange> {
  readonly #settleTimeoutMs: number
  readonly #onUnsettled: (exchange: Exchange) => void
  /** In the order of their times, since all have the same limit. */
  readonly #unsettled = new LinkedList<Unsettled>()
  /** Exchanges that are not sealed, and that no close waits for. */
  readonly #exempt = new Set<Exchange>()
  #hasTimer = false
  #soon: Exchange[] = []

  constructor(settleTimeoutMs: number, onUnsettled: (exchange: Exchange) => void) {
    super()
    this.#settleTimeoutMs = settleTimeoutMs
    this.#onUnsettled = onUnsettled
  }

  open(scope: RequestScope, request: Message, response: Response): Exchange {
    const exchange = new Exchange(scope, request, response, this)
    flushInUnit(exchange, response)
    this.add(exchange)
    scope.onSeal(exchange)
    return exchange
  }

  /** Removes an exchange from those that a close waits for. */
  exempt(exchange: Exchange): void {
    super.delete(exchange)
    this.#exempt.add(exchange)
  }

  /** How many responses are open that no close waits for. */
  get exemptReplies(): number {
    let open = 0
    for (const { responseOpen } of this.#exempt) if (responseOpen) open++
    return open
  }

  override delete(exchange: Exchange): void {
    super.delete(exchange)
    this.#exempt.delete(exchange)
    if (exchange.unsettled !== undefined) this.#unsettled.delete(exchange.unsettled)
  }

  /**
   * Closes an exchange in the next turn of the event loop. One callback for all: before Node 26 a request without a body
   * emits `close` after its response, so each of them is closed here.
   */
  closeSoon(exchange: Exchange): void {
    if (this.#soon.push(exchange) > 1) return
    root.runInAsyncScope(setImmediate, undefined, () => {
      const due = this.#soon
      this.#soon = []
      for (const each of due) {
        try {
          each.close()
        } catch (error) {
          // For example of a span processor. The others close too.
          process.nextTick(() => {
            throw error
          })
        }
      }
    })
  }

  /** Starts the limit of an exchange that closed. A reply on the raw response still ends the wait for it. */
  limit(exchange: Exchange): void {
    enterAtRawReply(exchange.response)
    exchange.unsettled = new Unsettled(exchange, performance.now() + this.#settleTimeoutMs)
    this.#unsettled.add(exchange.unsettled)
    if (!this.#hasTimer) this.#startTimer(this.#settleTimeoutMs)
  }

  /** One timer for all; it keeps neither the process alive nor the contexts of a request. */
  #startTimer(ms: number): void {
    this.#hasTimer = true
    root.runInAsyncScope(() => after(ms, () => this.#sealDue(), { ref: false }))
  }

  #sealDue(): void {
    this.#hasTimer = false
    const now = performance.now()
    for (const { exchange, dueAt } of this.#unsettled.items) {
      if (dueAt > now) return this.#startTimer(dueAt - now)
      this.#onUnsettled(exchange)
      exchange.scope.sealNow()
    }
  }
}

/** An exchange that closed and is not sealed, with the time at which it must be. */
export class Unsettled implements Listed<Unsettled> {
  readonly exchange: Exchange
  readonly dueAt: number
  before: Unsettled | undefined = undefined
  after: Unsettled | undefined = undefined

  constructor(exchange: Exchange, dueAt: number) {
    this.exchange = exchange
    this.dueAt = dueAt
  }
}
