import * as fc from 'fast-check'

/** What the programs write. Undefined is a value as any other. */
export type Value = string | undefined

export type OnSpawn = 'keep' | 'drop' | 'derive'

export interface VariableSpec {
  readonly default?: string
  readonly onSpawn?: OnSpawn
  readonly survivesSeal?: boolean
}

/** One variable of each kind. The `far` ones are made after so many others that they stand in the tree. */
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

export type PolicySpec = 'inherit' | 'isolate' | 'share' | { readonly only: readonly Variable[] }

/** How the code of a unit goes on somewhere else without being spawned. */
export const ways = ['await', 'then', 'nextTick', 'microtask', 'immediate', 'timer'] as const

/** What a generator's body does between two yields. */
export type BodyAct =
  | { readonly act: 'set'; readonly variable: Variable; readonly value: Value }
  | { readonly act: 'delete'; readonly variable: Variable }
  | { readonly act: 'leave a flow behind' }

/**
 * One line of a program. A flow is a piece of code that waits to be told what to do next: each step has one flow do
 * one thing, so the order of the steps is the interleaving. Numbers pick one of what there is, modulo its count.
 */
export type Step = { readonly flow: number } & (
  | { readonly does: 'set'; readonly variable: Variable; readonly value: Value }
  | { readonly does: 'delete'; readonly variable: Variable }
  | { readonly does: 'override'; readonly variable: Variable; readonly value: Value }
  | { readonly does: 'restore'; readonly override: number }
  | { readonly does: 'go on'; readonly way: (typeof ways)[number] }
  | { readonly does: 'block'; readonly variable: Variable; readonly value: Value }
  | { readonly does: 'capture' }
  | { readonly does: 'run'; readonly snapshot: number }
  | { readonly does: 'bind' }
  | { readonly does: 'call bound'; readonly bound: number }
  | { readonly does: 'spawn'; readonly policy: PolicySpec }
  | { readonly does: 'open a unit' }
  | { readonly does: 'end' }
  | { readonly does: 'make a generator'; readonly kind: 'sync' | 'async' }
  | { readonly does: 'step a generator'; readonly generator: number; readonly body: BodyAct }
)

/** What can be seen after a step: of each flow and each snapshot the value of each variable, and what the step gave. */
export interface Sight {
  readonly outcome: unknown
  readonly flows: readonly unknown[]
  readonly snapshots: readonly unknown[]
}

const which = fc.nat(20)
const variable = fc.constantFrom(...names)
const value = fc.constantFrom<Value>('a', 'b', 'c', undefined)
const policy = fc.oneof<fc.Arbitrary<PolicySpec>[]>(
  fc.constantFrom<PolicySpec>('inherit', 'isolate', 'share'),
  fc.record({ only: fc.subarray(names) }),
)
const body = fc.oneof<fc.Arbitrary<BodyAct>[]>(
  fc.record({ act: fc.constant('set'), variable, value }),
  fc.record({ act: fc.constant('delete'), variable }),
  fc.record({ act: fc.constant('leave a flow behind') }),
)

function step<T extends object>(does: string, rest: { [K in keyof T]: fc.Arbitrary<T[K]> }, weight: number) {
  return { weight, arbitrary: fc.record({ flow: which, does: fc.constant(does), ...rest }) as fc.Arbitrary<Step> }
}

const anyStep = fc.oneof(
  step('set', { variable, value }, 8),
  step('delete', { variable }, 2),
  step('override', { variable, value }, 2),
  step('restore', { override: which }, 2),
  step('go on', { way: fc.constantFrom(...ways) }, 3),
  step('block', { variable, value }, 2),
  step('capture', {}, 2),
  step('run', { snapshot: which }, 2),
  step('bind', {}, 1),
  step('call bound', { bound: which }, 2),
  step('spawn', { policy }, 5),
  step('open a unit', {}, 3),
  step('end', {}, 3),
  step('make a generator', { kind: fc.constantFrom('sync', 'async') }, 2),
  step('step a generator', { generator: which, body }, 5),
)

/** A program begins outside any unit, with a unit: little can be done without one. */
export const programs: fc.Arbitrary<readonly Step[]> = fc
  .array(anyStep, { minLength: 1, maxLength: 40, size: 'max' })
  .map((steps) => [{ flow: 0, does: 'open a unit' } as const, ...steps])

export function printProgram(program: readonly Step[]): string {
  return program.map((line, index) => `${index + 1}. ${printStep(line)}`).join('\n')
}

function printStep({ flow, does, ...rest }: Step): string {
  const details = Object.entries(rest).map(([key, detail]) => `${key} ${JSON.stringify(detail) ?? 'undefined'}`)
  return [`flow ${flow}: ${does}`, ...details].join(', ')
}

/** The one that a number picks, or nothing where there is nothing to pick from. */
export function pick<T>(from: readonly T[], number: number): T | undefined {
  return from[number % from.length]
}
