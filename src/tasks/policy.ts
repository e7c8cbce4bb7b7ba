import type { AnyContextVar, Crossing } from '../context/context-var.ts'
import { ContextVar } from '../context/context-var.ts'
import {
  decode,
  deletedValue,
  emptyValues,
  encode,
  hasRuled,
  isPresent,
  read,
  ruledOf,
  type Values,
  write,
} from '../context/values.ts'
import { anyOf, type Check } from '../options.ts'

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
  if (typeof value !== 'object' || value === null || Object.keys(value).join() !== 'only') return false
  const { only } = value as { only: unknown }
  return Array.isArray(only) && only.every((variable) => variable instanceof ContextVar)
})

/** A policy in one word, for logs and reports. */
export function policyName(policy: Policy): 'inherit' | 'isolate' | 'share' | 'only' {
  return typeof policy === 'string' ? policy : 'only'
}

/** What `values` are for a task under a policy. The result is shared, and `values` are not written. */
export function cross(values: Values, policy: CrossingPolicy): Values {
  if (policy === 'inherit') return hasRuled(values) ? applyRules(values, values.slice(), policy) : values
  if (policy === 'isolate') return applyRules(values, emptyValues.slice(), policy)
  const kept = emptyValues.slice()
  for (const variable of policy.only) {
    const raw = read(values, variable.index)
    if (isPresent(raw)) write(kept, variable, raw)
  }
  return applyRules(values, kept, 'only')
}

/** The variables' own rules stand above every policy. */
function applyRules(from: Values, to: Values, crossing: Crossing): Values {
  for (const slot of ruledOf(from)) {
    const variable = slot as AnyContextVar
    const raw = read(from, variable.index)
    const rule = variable.onSpawn
    if (rule === undefined || !isPresent(raw)) continue
    if (rule === 'drop') write(to, variable, deletedValue)
    else if (rule === 'keep') write(to, variable, raw)
    else write(to, variable, encode(rule(decode(raw), crossing)))
  }
  return to
}
