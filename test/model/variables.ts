/** What the programs write. Undefined is a value as any other. */
export type Value = string | undefined

export interface VariableSpec {
  readonly default?: string
  readonly onSpawn?: 'keep' | 'drop' | 'derive'
  readonly survivesSeal?: boolean
}

/** One variable of each kind. The `far` ones are created after so many others that they are in the tree. */
export const variables = {
  plain: {},
  defaulted: { default: 'default' },
  kept: { onSpawn: 'keep' },
  keptToTheEnd: { onSpawn: 'keep', survivesSeal: false },
  dropped: { onSpawn: 'drop' },
  derived: { onSpawn: 'derive' },
  survivor: { survivesSeal: true },
  far: {},
  farKept: { onSpawn: 'keep' },
} as const satisfies Record<string, VariableSpec>

export type Variable = keyof typeof variables

export const names = Object.keys(variables) as Variable[]

/** What a rule that derives makes of a value. */
export function derive(value: unknown, crossing: string): Value {
  return `${String(value)}, ${crossing}`
}

/** What some code sees: of each variable its value, and whether it is set or only the default. */
export type Sight = Readonly<Record<Variable, string>>

export function show(has: (variable: Variable) => boolean, get: (variable: Variable) => unknown): Sight {
  const seen = {} as Record<Variable, string>
  for (const name of names) seen[name] = `${has(name) ? 'set to' : 'default'} ${String(get(name))}`
  return seen
}
