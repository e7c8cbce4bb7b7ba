import { aSyncFunction, isPromise, reportOnce } from '../callbacks.ts'
import type { AnyContextVar } from '../context/context-var.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { show } from '../options.ts'
import type { Carrier } from './carrier.ts'
import {
  attempt,
  type Destination,
  type ExtractOptions,
  isPropagator,
  type Peer,
  type Propagator,
  type Refuse,
} from './propagator.ts'

/**
 * Several formats as one propagator, called in the order of the list.
 *
 * Extracting: the first format that finds a trace, a request id or a value wins; later formats keep it. A trace that a
 * format began does not count as found. Injecting: the first format that writes a field wins; a field that the caller
 * set is kept.
 *
 * It never throws after its creation. If an item throws or returns a promise, the item's first field counts as
 * malformed, the first error is logged, and the other items are called.
 *
 * @throws {TypeError} if an item is not a propagator or is async, or if two propagators own `baggage`: the members of the
 *   second one would never be written.
 */
export function composite(propagators: readonly Propagator[]): Propagator {
  return compilePropagators('composite:', propagators)
}

/** @internal The same for an option `propagators`. Error messages start with `subject`. */
export function compilePropagators(subject: string, propagators: readonly Propagator[]): Propagator {
  if (!Array.isArray(propagators)) {
    throw new TypeError(`${subject} expected an array of propagators, got ${show(propagators)}.`)
  }
  const list = Array.from(propagators, (propagator: unknown) => new ContainedPropagator(subject, propagator))
  if (list.filter(({ fields }) => fields.includes('baggage')).length > 1) {
    throw new TypeError(`${subject} expected one propagator of 'baggage', got several. Declare all members in one.`)
  }

  return Object.freeze({
    fields: Object.freeze([...new Set(list.flatMap(({ fields }) => fields))]),
    variables: Object.freeze([...new Set(list.flatMap(({ variables }) => variables))]),
    extract(context: LogicalContext, carrier: Carrier, peer: Peer, options?: ExtractOptions) {
      let found = context
      for (const propagator of list) found = propagator.extract(found, carrier, peer, options)
      return found
    },
    inject(context: LogicalContext, carrier: Carrier, destination: Destination) {
      for (const propagator of list) propagator.inject(context, carrier, destination)
    },
  })
}

/** A propagator whose failures do not reach its caller. */
class ContainedPropagator implements Propagator {
  readonly fields: readonly string[]
  readonly variables: readonly AnyContextVar[]
  readonly #propagator: Propagator

  constructor(subject: string, propagator: unknown) {
    if (!isPropagator(propagator)) {
      const ofPromise = propagator instanceof Promise ? ' Await it.' : ''
      const remedy = typeof propagator === 'function' ? ` Call it: ${propagator.name}().` : ofPromise
      throw new TypeError(
        `${subject} expected a propagator with fields, extract and inject, got ${show(propagator)}.${remedy}`,
      )
    }
    checkSync(subject, 'extract', propagator.extract)
    checkSync(subject, 'inject', propagator.inject)
    this.fields = [...propagator.fields]
    this.variables = [...(propagator.variables ?? [])]
    this.#propagator = propagator
  }

  extract(context: LogicalContext, carrier: Carrier, peer: Peer, options?: ExtractOptions): LogicalContext {
    try {
      const found: unknown = this.#propagator.extract(context, carrier, peer, options)
      if (found instanceof LogicalContext) return found
      isPromise(found)
      throw new TypeError(`extract: expected to return a context, got ${show(found)}.`)
    } catch (error) {
      this.#failed('extract', error, peer.refuse)
      return context
    }
  }

  inject(context: LogicalContext, carrier: Carrier, destination: Destination): void {
    try {
      const result: unknown = this.#propagator.inject(context, carrier, destination)
      if (isPromise(result)) throw new TypeError('inject: expected not to return a promise.')
    } catch (error) {
      this.#failed('inject', error, destination.refuse)
    }
  }

  #failed(method: string, error: unknown, refuse: Refuse): void {
    const [field = ''] = this.fields
    reportOnce(this, `${method}() of the propagator of '${field}'`, error)
    attempt(() => refuse('malformed', field))
  }
}

function checkSync(subject: string, method: string, fn: unknown): void {
  if (aSyncFunction.accepts(fn)) return
  throw new TypeError(
    `${subject} expected ${method}() of a propagator to be ${aSyncFunction.expected}, got ${show(fn)}.`,
  )
}
