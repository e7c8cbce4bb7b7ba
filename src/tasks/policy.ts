import { isPromise } from '../callbacks.ts'
import { Cell, type View } from '../context/cell.ts'
import { type AnyContextVar, ContextVar, type PolicyName } from '../context/context-var.ts'
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
import type { Task } from './task.ts'

/**
 * Which values of its spawner a task sees, and which code sees what it sets:
 * `inherit`: a snapshot of all values; its writes are its own;
 * `isolate`: only the variables with `onSpawn: 'keep'`; its writes are its own, its trace is new and linked to the old one;
 * `share`: the spawner's values, in both directions, like a promise that no code awaits;
 * `{ only }`: a snapshot of these variables and of those with `onSpawn: 'keep'`; its writes are its own;
 * `{ except }`: a snapshot of all values but those of these variables; its writes are its own.
 */
export type Policy =
  | 'inherit'
  | 'isolate'
  | 'share'
  | { readonly only: readonly AnyContextVar[]; readonly except?: never }
  | { readonly except: readonly AnyContextVar[]; readonly only?: never }

/** A policy under which the task has a cell of its own. */
export type CrossingPolicy = Exclude<Policy, 'share'>

export const aPolicy: Check = anyOf(
  "'inherit', 'isolate', 'share', { only: [variables] } or { except: [variables] }",
  (value) => {
    if (value === 'inherit' || value === 'isolate' || value === 'share') return true
    if (typeof value !== 'object' || value === null) return false
    // One own property: another one could be from a polluted `Object.prototype`.
    const [[key, variables] = [], ...rest] = Object.entries(value) as [string?, unknown?][]
    if (rest.length > 0 || (key !== 'only' && key !== 'except')) return false
    return Array.isArray(variables) && variables.every((variable) => variable instanceof ContextVar)
  },
)

/** The policy in one word, for logs and reports. */
export function policyName(policy: Policy): PolicyName | 'share' {
  if (typeof policy === 'string') return policy
  return Object.hasOwn(policy, 'only') ? 'only' : 'except'
}

/** Whether a policy that lists variables lets the value of one of them cross. */
export function crosses(policy: Exclude<Policy, string>, variable: AnyContextVar): boolean {
  return listed(policy).includes(variable) === (policyName(policy) === 'only')
}

function listed(policy: Exclude<Policy, string>): readonly AnyContextVar[] {
  return (policyName(policy) === 'only' ? policy.only : policy.except) ?? []
}

/** The values of a task under a policy. The result may be shared: copy it before a write. `values` stay as they are. */
export function cross(values: Values, policy: CrossingPolicy): Values {
  const ruled = ruledOf(values) !== undefined
  if (policy === 'inherit') return ruled ? applyRules(values, values.slice(), policy) : values
  if (policy === 'isolate') return ruled ? applyRules(values, emptyWithRules(values), policy) : emptyValues
  const isOnly = policyName(policy) === 'only'
  let kept = isOnly ? emptyWithRules(values) : values.slice()
  for (const { index } of listed(policy)) {
    const raw = read(values, index)
    if (isPresent(raw)) kept = put(kept, index, isOnly ? raw : deletedValue)
  }
  return ruled ? applyRules(values, kept, isOnly ? 'only' : 'except') : kept
}

/** The rules of the variables take precedence over every policy. */
function applyRules(from: Values, start: Values, crossing: PolicyName): Values {
  let to = start
  for (let ruled = ruledOf(from); ruled !== undefined; ruled = ruled.rest) {
    const { index, onSpawn: rule } = ruled.slot as AnyContextVar
    const raw = read(from, index)
    if (rule === undefined || !isPresent(raw)) continue
    if (rule === 'drop') to = put(to, index, deletedValue)
    else if (rule === 'keep') to = put(to, index, raw)
    else {
      const derived: unknown = rule(decode(raw), crossing)
      // A value can be a promise. If no code reads it, its rejection must not end the process.
      isPromise(derived)
      to = put(to, index, encode(derived))
    }
  }
  return to
}

/** The cell of a task that the code in `spawner` spawns. Throws what the rule of a variable throws. */
export function openCell(task: Task, policy: Policy, spawner: View | undefined): View {
  if (spawner === undefined) return new Cell(emptyValues, task)
  if (policy === 'share') return spawner.within(task.cancelScope)
  return new Cell(cross(spawner.base.share(), policy), task)
}

/** Calls `proceed` in the cell of the task; under `isolate` outside the contexts of other libraries. */
export function enterCell<Args extends unknown[]>(
  cell: View,
  policy: Policy,
  proceed: (...args: Args) => void,
  ...args: Args
): void {
  if (policy === 'isolate') root.runInAsyncScope(enterOutside<Args>, undefined, cell, proceed, args)
  else storage.run(cell, proceed, ...args)
}

function enterOutside<Args extends unknown[]>(cell: View, proceed: (...args: Args) => void, args: Args): void {
  storage.run(cell, proceed, ...args)
}
