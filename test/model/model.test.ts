import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import * as api from 'logical-context'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Api, Library } from './library.ts'
import { Model } from './model.ts'
import { printProgram, programs, type Step } from './program.ts'

/** How many programs are tried; a seed and a path in the environment try one again. */
const runs = Number(process.env['MODEL_RUNS'] ?? 500)
const seed = process.env['MODEL_SEED']
const path = process.env['MODEL_PATH']

// The package looks for the place in the code of every late read, and there are very many here.
const { stackTraceLimit } = Error
beforeEach(() => {
  Error.stackTraceLimit = 0
})
afterEach(() => {
  Error.stackTraceLimit = stackTraceLimit
})

describe('the package', () => {
  it(`does in ${runs} random programs what the model does`, { timeout: 600_000 }, async () => {
    const parameters = { numRuns: runs, ...(seed && { seed: Number(seed) }), ...(path && { path }) }

    expect(await findDifference({}, parameters)).toBe(undefined)
  })
})

describe('the model finds', () => {
  it.each<[name: string, wrong: Partial<Api>]>([
    ['an inherit that shares', { spawn: spawnWith('inherit', 'share') }],
    ['a share that inherits', { spawn: spawnWith('share', 'inherit') }],
    ['an isolate that inherits', { spawn: spawnWith('isolate', 'inherit') }],
    ['an isolate that starts a fresh unit', { spawn: (fn) => api.runInScope(fn as never) }],
    ['a variable without rules', { ContextVar: withoutRules() }],
    ['a variable without its default', { ContextVar: withoutDefault() }],
    ['a block of a variable that is none', { ContextVar: withoutBlocks() }],
    ['a block of a context that is none', { run: (_, fn, ...args) => fn(...args) }],
    ['a generator without a layer', { isolateGenerator: (fn) => fn }],
    ['a generator in a snapshot', { isolateGenerator: generatorInSnapshot as Api['isolateGenerator'] }],
    ['a bind that takes a snapshot', { bind: bindSnapshot as Api['bind'] }],
    ['a bind that binds nothing', { bind: (fn) => fn }],
    ['a unit that never ends', { runInScope: runWithoutEnd as Api['runInScope'] }],
    ['a unit that starts with what is around it', { runInScope: runWithSurroundings as Api['runInScope'] }],
  ])('%s', { timeout: 60_000 }, async (_, wrong) => {
    const difference = await findDifference(wrong, { numRuns: 2000, seed: 1 })

    expect(difference).toMatch(/^1\. flow 0: open a unit\n[^]*\nseed 1, path /)
  })
})

/** The shortest program found that the package runs otherwise than the model, and how to run it again. */
async function findDifference(
  replaced: Partial<Api>,
  parameters: fc.Parameters<[readonly Step[]]>,
): Promise<string | undefined> {
  const property = fc.asyncProperty(programs, async (program) => (await differenceIn(program, replaced)) === undefined)
  const { failed, counterexample, seed, counterexamplePath, errorInstance } = await fc.check(property, parameters)
  if (!failed || counterexample === null) return undefined
  const [program] = counterexample
  const difference = (await differenceIn(program, replaced)) ?? `${printProgram(program)}\n${String(errorInstance)}`
  return `${difference}\nseed ${seed}, path ${counterexamplePath}`
}

async function differenceIn(program: readonly Step[], replaced: Partial<Api>): Promise<string | undefined> {
  const model = new Model()
  const library = new Library(replaced)
  for (const [index, step] of program.entries()) {
    const expected = model.do(step)
    const seen = await library.do(step)
    if (isDeepStrictEqual(seen, expected)) continue
    const places = differences(expected, seen, '')
    const lines = [printProgram(program.slice(0, index + 1)), 'and now the model and the package differ:', ...places]
    return lines.join('\n')
  }
  return undefined
}

function differences(expected: unknown, seen: unknown, place: string): string[] {
  if (isDeepStrictEqual(expected, seen)) return []
  if (!isObject(expected) || !isObject(seen) || Array.isArray(expected[0]))
    return [`  ${place}: ${print(expected)}, ${print(seen)}`]
  const keys = new Set([...Object.keys(expected), ...Object.keys(seen)])
  return Array.from(keys).flatMap((key) => differences(expected[key], seen[key], `${place} ${key}`))
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !(Array.isArray(value) && typeof value[0] === 'string')
}

function print(value: unknown): string {
  return JSON.stringify(value) ?? 'undefined'
}

function spawnWith(policy: api.Policy, instead: api.Policy): Api['spawn'] {
  return (fn, options) =>
    api.spawn(fn, { ...options, policy: options?.policy === policy ? instead : (options?.policy ?? policy) })
}

function withoutRules(): Api['ContextVar'] {
  return class<T, D> extends api.ContextVar<T, D> {
    constructor(name: string, options?: api.ContextVarOptions<T, D>) {
      super(name, ...([{ default: options?.default }] as never))
    }
  }
}

function withoutDefault(): Api['ContextVar'] {
  return class<T, D> extends api.ContextVar<T, D> {
    override get() {
      return this.has() ? super.get() : (undefined as never)
    }
  }
}

function withoutBlocks(): Api['ContextVar'] {
  return class<T, D> extends api.ContextVar<T, D> {
    override run<Args extends unknown[], R>(value: T, fn: (...args: Args) => R, ...args: Args): R {
      if (api.current() !== api.LogicalContext.empty) this.set(value)
      return super.run(value, fn, ...args)
    }
  }
}

function generatorInSnapshot(fn: () => { next: (act: unknown) => unknown }) {
  return () => {
    const generator = fn()
    const snapshot = api.current()
    return { next: (act: unknown) => api.run(snapshot, () => generator.next(act)) }
  }
}

function bindSnapshot(fn: (...args: unknown[]) => unknown) {
  const snapshot = api.current()
  return (...args: unknown[]) => api.run(snapshot, fn, ...args)
}

function runWithoutEnd(fn: (scope: unknown) => unknown, options: api.ScopeOptions): unknown {
  let result: unknown
  void api.runInScope((scope) => {
    result = fn(scope)
    return new Promise(() => {})
  }, options)
  return result
}

function runWithSurroundings(fn: (scope: unknown) => unknown, options: api.ScopeOptions): unknown {
  return api.runInScope(fn, { ...options, context: api.current() })
}
