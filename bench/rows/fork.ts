import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { type MicroRow, ofFloor, ours, type Side, type Work } from '../harness/row.ts'
import { nestCls, otelContext } from './peers.ts'

const value = 'ann'

export const forks: readonly MicroRow[] = [5, 10, 50].map(fork)

function fork(size: number): MicroRow {
  const names = Array.from({ length: size }, (_, i) => `name${i}`)
  const last = names.at(-1) as string
  const filled = Object.fromEntries(names.map((name) => [name, value]))
  return {
    kind: 'micro',
    name: `fork-${size}`,
    title: `Fork with ${size} variables`,
    about:
      'The side enters a block that sees the request’s values and keeps its own writes, and reads a value in it. A ' +
      'context of OpenTelemetry is immutable, so its side makes a context with one more value.',
    sides: [
      oursWith(ours, size),
      {
        name: 'object spread',
        role: 'floor',
        setup() {
          const storage = new AsyncLocalStorage<Record<string, string>>()
          return forked({
            fork: (fn) => storage.run({ ...storage.getStore() }, fn),
            get: () => storage.getStore()?.[last],
            within: (loop) => storage.run(filled, loop),
          })
        },
      },
      {
        name: 'Map copy',
        role: 'peer',
        setup() {
          const storage = new AsyncLocalStorage<Map<string, string>>()
          return forked({
            fork: (fn) => storage.run(new Map(storage.getStore()), fn),
            get: () => storage.getStore()?.get(last),
            within: (loop) => storage.run(new Map(Object.entries(filled)), loop),
          })
        },
      },
      {
        name: 'OpenTelemetry setValue',
        role: 'peer',
        async setup() {
          const { context, keys, filled: start } = await otelContext(names, value)
          const [first, name] = [keys[0] as symbol, keys.at(-1) as symbol]
          return forked({
            fork: (fn) => context.with(context.active().setValue(first, value), fn),
            get: () => context.active().getValue(name),
            within: (loop) => context.with(start, loop),
          })
        },
      },
      {
        name: 'nestjs-cls inherit',
        role: 'peer',
        async setup() {
          const cls = await nestCls()
          return forked({
            fork: (fn) => cls.run({ ifNested: 'inherit' }, fn),
            get: () => cls.get(last),
            within: (loop) => cls.runWith({ ...filled }, loop),
          })
        },
      },
    ],
    targets: [ofFloor(1.5)],
  }
}

function oursWith(name: string, size: number): Side {
  return {
    name,
    role: name === ours ? 'ours' : 'reference',
    async setup() {
      const { ContextVar, current, run, runInScope } = await import('logical-context')
      const variables = Array.from({ length: size }, (_, i) => new ContextVar<string>(`name${i}`))
      const last = variables.at(-1)
      return forked({
        fork: (fn) => run(current(), fn),
        get: () => last?.get(),
        within: (loop) =>
          runInScope(() => {
            for (const variable of variables) variable.set(value)
            return loop()
          }),
      })
    },
  }
}

function forked(side: { fork(fn: () => unknown): unknown; get(): unknown; within: <R>(loop: () => R) => R }): Work {
  const op = () => side.fork(side.get)
  return { op, within: side.within, check: () => side.within(() => assert.equal(op(), value)) }
}
