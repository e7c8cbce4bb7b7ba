import { Cell } from '../context/cell.ts'
import type { AnyContextVar, PolicyName } from '../context/context-var.ts'
import { ContextVar } from '../context/context-var.ts'
import { root, storage } from '../context/storage.ts'
import {
  decode,
  deletedValue,
  emptyValues,
  emptyWithRules,
  encode,
  isPresent,
  put,
  read,
  ruledOf,
  type Values,
} from '../context/values.ts'
import { anyOf, type Check } from '../options.ts'
import type { Unit } from './unit.ts'

/**
 * What a spawned task sees of its spawner's values, and who sees what it sets:
 * `inherit`: a snapshot of all values, and its own writes;
 * `isolate`: nothing but the variables with `onSpawn: 'keep'`, and its own writes, in a new trace linked to the old;
 * `share`: the spawner's values themselves, both ways, like a promise nobody awaits;
 * `{ only }`: a snapshot of these variables and of those with `onSpawn: 'keep'`, and its own writes.
 */
export type Policy = 'inherit' | 'isolate' | 'share' | { readonly only: readonly AnyContextVar[] }

/** A policy under which values cross into a cell of the task's own. */
export type CrossingPolicy = Exclude<Policy, 'share'>

export const aPolicy: Check = anyOf("'inherit', 'isolate', 'share' or { only: [variables] }", (value) => {
  if (value === 'inherit' || value === 'isolate' || value === 'share') return true
  if (typeof value !== 'object' || value === null) return false
  if (Object.keys(value).some((key) => key !== 'only')) return false
  const { only } = value as { only?: unknown }
  return Array.isArray(only) && only.every((variable) => variable instanceof ContextVar)
})

/** A policy in one word, for logs and reports. */
export function policyName(policy: Policy): 'inherit' | 'isolate' | 'share' | 'only' {
  return typeof policy === 'string' ? policy : 'only'
}

/** What `values` are for a task under a policy. The result is shared, and `values` are not written. */
export function cross(values: Values, policy: CrossingPolicy): Values {
  const ruled = ruledOf(values) !== undefined
  if (policy === 'inherit') return ruled ? applyRules(values, values.slice(), policy) : values
  if (policy === 'isolate') return ruled ? applyRules(values, emptyWithRules(values), policy) : emptyValues
  let kept = emptyWithRules(values)
  for (const { index } of policy.only) {
    const raw = read(values, index)
    if (isPresent(raw)) kept = put(kept, index, raw)
  }
  return ruled ? applyRules(values, kept, 'only') : kept
}

/** The variables' own rules stand above every policy. */
function applyRules(from: Values, start: Values, crossing: PolicyName): Values {
  let to = start
  for (let ruled = ruledOf(from); ruled !== undefined; ruled = ruled.rest) {
    const { index, onSpawn: rule } = ruled.slot as AnyContextVar
    const raw = read(from, index)
    if (rule === undefined || !isPresent(raw)) continue
    if (rule === 'drop') to = put(to, index, deletedValue)
    else if (rule === 'keep') to = put(to, index, raw)
    else to = put(to, index, encode(rule(decode(raw), crossing)))
  }
  return to
}

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
