import { Cell } from '../context/cell.ts'
import { root, storage } from '../context/storage.ts'
import type { Unit } from '../context/unit.ts'
import { emptyValues } from '../context/values.ts'
import { cross, type Policy } from './policy.ts'

/** The cell for a task that is spawned here and now; a variable's own rule may throw. */
export function openCell(task: Unit, policy: Policy): Cell {
  const spawner = storage.getStore()
  if (spawner === undefined) return new Cell(emptyValues, task)
  return policy === 'share' ? spawner : new Cell(cross(spawner.share(), policy), task)
}

/** Calls `proceed` in a cell that was opened here, and in the other libraries' contexts that the policy leaves. */
export function enterCell<T>(cell: Cell, policy: Policy, proceed: (task: T) => void, task: T): void {
  if (cell === storage.getStore()) proceed(task)
  else if (policy === 'isolate') root.runInAsyncScope(() => storage.run(cell, proceed, task))
  else storage.run(cell, proceed, task)
}
