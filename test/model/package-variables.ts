import type { ContextVar } from 'logical-context'
import type { Parts } from './parts.ts'
import { derive, names, type Value, type Variable, type VariableSpec, variables } from './variables.ts'

export type Var = ContextVar<Value, Value>

const variablesByClass = new WeakMap<Parts['ContextVar'], Record<Variable, Var>>()

/** Made once for each class: the array of values has places for 32, and those that are far have more before them. */
export function variablesOf({ ContextVar }: Parts): Record<Variable, Var> {
  const known = variablesByClass.get(ContextVar)
  if (known !== undefined) return known
  const made = {} as Record<Variable, Var>
  const make = (name: Variable) => {
    const { onSpawn, ...spec }: VariableSpec = variables[name]
    const rule = onSpawn === 'derive' ? derive : onSpawn
    made[name] = new ContextVar<Value, Value>(name, { ...spec, ...(rule && { onSpawn: rule }) })
  }
  names.filter((name) => !name.startsWith('far')).forEach(make)
  for (let i = 0; i < 32; i++) void new ContextVar('between')
  names.filter((name) => name.startsWith('far')).forEach(make)
  variablesByClass.set(ContextVar, made)
  return made
}
