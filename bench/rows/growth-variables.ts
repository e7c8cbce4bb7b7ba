import { AsyncLocalStorage } from 'node:async_hooks'
import assert from 'node:assert/strict'
import { type GrowthRow, type GrowthSide, ours, type Role, type Work } from '../harness/row.ts'
import { atSizes, pointOf } from './curves.ts'
import { otelContext } from './peers.ts'

const value = 'ann'
const [smallest, largest] = [5, 100]

export const growthVariables: GrowthRow = {
  kind: 'growth',
  name: 'growth-variables',
  title: 'Variables: a block with a value of its own',
  about:
    'The side enters a block that sees all values of the request and has one value of its own, and reads that ' +
    'value.',
  axis: 'variables',
  sides: [
    ...curve(ours, 'ours', async (size) => {
      const { ContextVar, runInScope } = await import('logical-context')
      const variables = Array.from({ length: size }, (_, i) => new ContextVar<string>(`name${i}`))
      const [first, last] = [variables[0], variables.at(-1)]
      return blocks({
        enter: (fn) => first?.run('bob', fn),
        get: () => first?.get(),
        rest: () => last?.get(),
        within: (loop) =>
          runInScope(() => {
            for (const variable of variables) variable.set(value)
            return loop()
          }),
      })
    }),
    ...curve('object spread', 'peer', (size) => {
      const storage = new AsyncLocalStorage<Record<string, string>>()
      const filled = Object.fromEntries(namesOf(size).map((name) => [name, value]))
      return blocks({
        enter: (fn) => storage.run({ ...storage.getStore(), name0: 'bob' }, fn),
        get: () => storage.getStore()?.['name0'],
        rest: () => storage.getStore()?.[`name${size - 1}`],
        within: (loop) => storage.run(filled, loop),
      })
    }),
    ...curve('Map copy', 'peer', (size) => {
      const storage = new AsyncLocalStorage<Map<string, string>>()
      const filled = new Map(namesOf(size).map((name) => [name, value]))
      return blocks({
        enter: (fn) => storage.run(new Map(storage.getStore()).set('name0', 'bob'), fn),
        get: () => storage.getStore()?.get('name0'),
        rest: () => storage.getStore()?.get(`name${size - 1}`),
        within: (loop) => storage.run(filled, loop),
      })
    }),
    ...curve('OpenTelemetry setValue', 'peer', async (size) => {
      const { context, keys, filled } = await otelContext(namesOf(size), value)
      const [first, last] = [keys[0] as symbol, keys.at(-1) as symbol]
      return blocks({
        enter: (fn) => context.with(context.active().setValue(first, 'bob'), fn),
        get: () => context.active().getValue(first),
        rest: () => context.active().getValue(last),
        within: (loop) => context.with(filled, loop),
      })
    }),
  ],
  targets: [
    {
      words: `flat: at ${largest} at most 1.5 times what it is at ${smallest}`,
      figure: 'ns',
      against: pointOf(ours, smallest),
      atMost: 1.5,
    },
  ],
}

function curve(line: string, role: Role, setup: (size: number) => Work | Promise<Work>): GrowthSide[] {
  return atSizes([smallest, 10, 20, 30, 50, largest], line, role, setup)
}

function namesOf(size: number): string[] {
  return Array.from({ length: size }, (_, i) => `name${i}`)
}

function blocks(side: {
  enter(fn: () => unknown): unknown
  get(): unknown
  rest(): unknown
  within: <R>(loop: () => R) => R
}): Work {
  const { enter, get, rest, within } = side
  return {
    op: () => enter(get),
    within,
    check: () =>
      within(() => {
        assert.equal(enter(get), 'bob')
        assert.equal(enter(rest), value)
        assert.equal(get(), value)
      }),
  }
}
