import { sensitiveVariables } from '../context/storage.ts'
import { decode, isPresent } from '../context/values.ts'
import { show } from '../options.ts'
import { type Policy, policyName } from '../tasks/policy.ts'
import type { Unit } from '../tasks/unit.ts'

/** Longer texts are cut. */
const maxText = 200

export function cut(text: string): string {
  return text.length > maxText ? `${text.slice(0, maxText)}…` : text
}

/** A value in one line. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  try {
    return JSON.stringify(value) ?? show(value)
  } catch {
    return show(value)
  }
}

/** A policy in one word, with the variables that it lists. */
export function policyText(policy: Policy): string {
  if (typeof policy === 'string') return policy
  const variables = policy.only ?? policy.except ?? []
  return cut(`${policyName(policy)} ${variables.map((variable) => variable.name).join(', ')}`)
}

/** An error in one line, without the sensitive values of its unit. Undefined without an error. */
export function reasonText(error: unknown, unit: Unit | undefined): string | undefined {
  if (error === undefined) return undefined
  let text = errorText(error)
  for (const index of sensitiveVariables) {
    const raw = unit?.cell?.base.read(index)
    const value = isPresent(raw) ? textOf(decode(raw)) : ''
    if (value !== '') text = text.replaceAll(value, '[sensitive]')
  }
  return cut(text)
}

function errorText(error: unknown): string {
  try {
    if (!(error instanceof Error)) return show(error)
    const { code } = error as { code?: unknown }
    return `${typeof code === 'string' ? code : error.name}: ${error.message}`
  } catch {
    return 'an error that cannot be read'
  }
}
