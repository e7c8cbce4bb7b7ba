import { Cell } from '../context/cell.ts'
import { root, storage } from '../context/storage.ts'
import type { Unit } from '../context/unit.ts'
import { emptyValues } from '../context/values.ts'
import { cross, type Policy } from './policy.ts'

/** The cell for a task that is spawned by whoever is in `spawner`; a variable's own rule may throw. */
export function openCell(task: Unit, policy: Policy, spawner: Cell | undefined): Cell {
  if (spawner === undefined) return new Cell(emptyValues, task)
  return policy === 'share' ? spawner : new Cell(cross(spawner.share(), policy), task)
}

/** Calls `proceed` in the task's cell, and in the other libraries' contexts that the policy leaves. */
export function enterCell<Args extends unknown[]>(
  cell: Cell,
  policy: Policy,
  proceed: (...args: Args) => void,
  ...args: Args
): void {
  if (policy === 'share' && cell === storage.getStore()) proceed(...args)
  else if (policy === 'isolate') root.runInAsyncScope(enterOutside<Args>, undefined, cell, proceed, args)
  else storage.run(cell, proceed, ...args)
}

function enterOutside<Args extends unknown[]>(cell: Cell, proceed: (...args: Args) => void, args: Args): void {
  storage.run(cell, proceed, ...args)
}
