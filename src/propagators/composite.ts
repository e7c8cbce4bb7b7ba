import { show } from '../options.ts'
import { isPropagator, type Propagator } from './propagator.ts'

/**
 * Several formats as one propagator, called in the order of the list.
 *
 * Extracting: the first format that finds a trace, a request id or a value wins; later formats keep it. A trace that a
 * format began does not count as found. Injecting: the first format that writes a field wins; a field that the caller
 * set is kept.
 *
 * @throws {TypeError} if an item is not a propagator, or if two propagators own `baggage`: the members of the second one
 *   would never be written.
 */
export function composite(propagators: readonly Propagator[]): Propagator {
  if (!Array.isArray(propagators)) {
    throw new TypeError(`composite: expected an array of propagators, got ${show(propagators)}.`)
  }
  const list: readonly Propagator[] = [...propagators]
  for (const propagator of list) {
    if (isPropagator(propagator)) continue
    const remedy = typeof propagator === 'function' ? ` Call it: ${(propagator as { name: string }).name}().` : ''
    throw new TypeError(
      `composite: expected a propagator with fields, extract and inject, got ${show(propagator)}.${remedy}`,
    )
  }
  if (list.filter(({ fields }) => fields.includes('baggage')).length > 1) {
    throw new TypeError("composite: expected one propagator of 'baggage', got several. Declare all members in one.")
  }
  return {
    fields: Object.freeze([...new Set(list.flatMap(({ fields }) => fields))]),
    extract(context, carrier, peer) {
      let found = context
      for (const propagator of list) found = propagator.extract(found, carrier, peer)
      return found
    },
    inject(context, carrier, destination) {
      for (const propagator of list) propagator.inject(context, carrier, destination)
    },
  }
}
