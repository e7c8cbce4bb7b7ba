import { bridge } from '../context/bridge.ts'
import { ContextVar } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { processSingleton, storage } from '../context/storage.ts'
import { isPresent } from '../context/values.ts'
import type { Baggage } from './baggage.ts'

/** The one variable whose value a bridge may hold: the check costs nothing on all others. */
class BaggageVar extends ContextVar<Baggage> {
  override get(): Baggage | undefined {
    return withBridge(super.get())
  }
}

/** The baggage of the current unit, without the members that are variables of their own. */
export const baggage: ContextVar<Baggage> = processSingleton('baggage', () => new BaggageVar('baggage'))

/** The baggage to send to others from `context`. For the context of the code that runs now, it is what `get` returns. */
export function baggageOf(context: LogicalContext): Baggage | undefined {
  const known = context.get(baggage)
  return known === baggageHere() ? withBridge(known) : known
}

/** The current unit's own baggage. Does not use `get`, which reports each late read. */
export function baggageHere(): Baggage | undefined {
  const raw = storage.getStore()?.read(baggage.index)
  return isPresent(raw) ? (raw as Baggage) : undefined
}

/** With a bridge, another library's baggage comes and goes within a unit. */
function withBridge(own: Baggage | undefined): Baggage | undefined {
  return bridge.current?.baggage === undefined ? own : (bridge.current.baggage(own) as Baggage | undefined)
}
