import { show } from '../options.ts'
import { isPropagator, type Propagator } from './propagator.ts'

/**
 * Several formats as one, asked in the order of the list.
 *
 * Extracting: the first that finds a trace, a request id or a value wins; the later ones leave what is there. A trace
 * that a format began for want of one is none found. Injecting: the first that writes a field wins; a field that the
 * caller has set is nobody's.
 *
 * @throws {TypeError} for what is no propagator, and for two that own `baggage`: of two writers of one list, the second
 *   one's members would never go out.
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
    fields: [...new Set(list.flatMap(({ fields }) => fields))],
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
