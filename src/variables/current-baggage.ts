import { ContextVar } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { processSingleton, storage } from '../context/storage.ts'
import { isPresent } from '../context/values.ts'
import type { Baggage } from './baggage.ts'

/** The baggage of the current unit, but for the members that are variables of their own. */
export const baggage: ContextVar<Baggage> = processSingleton('baggage', () => new ContextVar<Baggage>('baggage'))

/** Says what baggage there is for the code that runs now; it is given what the unit has. */
export type BaggageSource = (own: Baggage | undefined) => Baggage | undefined

/** A bridge to another library's baggage, which comes and goes within a unit. */
const source: { read: BaggageSource | undefined } = processSingleton('baggageSource', () => ({ read: undefined }))

/** From here on `baggage.get()` asks `read` too. */
export function setBaggageSource(read: BaggageSource | undefined): void {
  source.read = read
  // On the one variable, so that it costs nothing on all others, nor where there is no bridge.
  if (read === undefined) Reflect.deleteProperty(baggage, 'get')
  else Object.defineProperty(baggage, 'get', { configurable: true, value: () => read(own(baggage)) })
}

/** The baggage of `context` to tell others: where that is the baggage of the code that runs now, as `get` gives it. */
export function baggageOf(context: LogicalContext): Baggage | undefined {
  const known = context.get(baggage)
  if (source.read === undefined || known !== baggageHere()) return known
  return source.read(known)
}

/** What the current unit itself has. Not by `get`, which tells of each late read. */
export function baggageHere(): Baggage | undefined {
  const raw = storage.getStore()?.read(baggage.index)
  return isPresent(raw) ? (raw as Baggage) : undefined
}

function own(variable: ContextVar<Baggage>): Baggage | undefined {
  return ContextVar.prototype.get.call(variable) as Baggage | undefined
}
