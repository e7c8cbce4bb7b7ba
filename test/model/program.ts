import * as fc from 'fast-check'
import { names, type Value, type Variable } from './variables.ts'

export type PolicySpec = 'inherit' | 'isolate' | 'share' | { readonly only: readonly Variable[] }

/** How the code of a unit goes on somewhere else without being spawned. */
export const ways = ['await', 'then', 'nextTick', 'microtask', 'immediate', 'timer'] as const

/** How a job is prepared for a worker in the same process. */
export const preparations = ['bound', 'with a snapshot', 'as it is'] as const

/** What a generator's body does between two yields. */
export type BodyAct =
  | { readonly act: 'set'; readonly variable: Variable; readonly value: Value }
  | { readonly act: 'delete'; readonly variable: Variable }
  | { readonly act: 'start a flow' }

export type Act =
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
  | { readonly does: 'gather'; readonly count: number }
  | { readonly does: 'withTimeout'; readonly limit: 'far' | 'over at once' }
  | { readonly does: 'shield' }
  | { readonly does: 'open a unit'; readonly lateWrites: 'throw' | 'report' }
  | { readonly does: 'end' }
  | { readonly does: 'make a generator'; readonly kind: 'sync' | 'async' }
  | { readonly does: 'step a generator'; readonly generator: number; readonly body: BodyAct }
  | { readonly does: 'start a worker' }
  | { readonly does: 'hand over'; readonly worker: number; readonly job: (typeof preparations)[number] }

/**
 * A flow is a piece of code that waits for its next step; each step makes one flow do one thing. Numbers
 * pick one of what there is at the time, modulo its count.
 */
export type Step = { readonly flow: number } & Act

/** Lists of steps that are gone through at the same time, in an order that the scheduler makes. */
export type Program = readonly (readonly Step[])[]

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
  fc.record({ act: fc.constant('start a flow') }),
)

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
  step('gather', { count: fc.integer({ min: 1, max: 3 }) }, 2),
  step('withTimeout', { limit: fc.constantFrom('far', 'over at once') }, 2),
  step('shield', {}, 1),
  step('open a unit', { lateWrites: fc.constantFrom('throw', 'report') }, 3),
  step('end', {}, 4),
  step('make a generator', { kind: fc.constantFrom('sync', 'async') }, 2),
  step('step a generator', { generator: which, body }, 6),
  step('start a worker', {}, 1),
  step('hand over', { worker: which, job: fc.constantFrom(...preparations) }, 3),
)

const opening: Step = { flow: 0, does: 'open a unit', lateWrites: 'throw' }

/** A program begins outside any unit, with a unit: little can be done without one. */
export const programs: fc.Arbitrary<Program> = fc
  .oneof(
    fc.tuple(fc.array(anyStep, { minLength: 1, maxLength: 40, size: 'max' })),
    fc.array(fc.array(anyStep, { minLength: 1, maxLength: 15, size: 'max' }), { minLength: 2, maxLength: 3 }),
  )
  .map(([first = [], ...others]) => [[opening, ...first], ...others])

function step<T extends object>(does: Act['does'], rest: { [K in keyof T]: fc.Arbitrary<T[K]> }, weight: number) {
  return { weight, arbitrary: fc.record({ flow: which, does: fc.constant(does), ...rest }) as fc.Arbitrary<Step> }
}

/** The place of the one that a number picks, or nothing where there is nothing to pick from. */
export function pick(count: number, number: number): number | undefined {
  return count === 0 ? undefined : number % count
}
