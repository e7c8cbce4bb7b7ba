import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { type MicroRow, ours, type Work } from '../harness/row.ts'
import { otelContext } from './peers.ts'

const awaits = 100

export const awaitsRow: MicroRow = {
  kind: 'micro',
  name: 'awaits',
  title: `A handler of ${awaits} awaits in a scope`,
  about: `A scope is opened, ${awaits} promises of async functions are awaited in it, and a value of the scope is read at the end.`,
  sides: [
    {
      name: 'one als.run',
      role: 'floor',
      setup() {
        const storage = new AsyncLocalStorage<{ user: string }>()
        return handles(
          (fn) => storage.run({ user: 'ann' }, fn),
          () => storage.getStore()?.user,
        )
      },
    },
    {
      name: ours,
      role: 'ours',
      async setup() {
        const { ContextVar, LogicalContext, runInScope } = await import('logical-context')
        const user = new ContextVar<string>('user')
        const context = LogicalContext.empty.with(user, 'ann')
        return handles(
          (fn) => runInScope(fn, { context }),
          () => user.get(),
        )
      },
    },
    {
      name: 'two als.run: @fastify/request-context and OpenTelemetry',
      role: 'peer',
      async setup() {
        const { asyncLocalStorage, requestContext } = await import('@fastify/request-context')
        const { context, keys } = await otelContext(['span'], 1)
        const span = keys[0] as symbol
        return handles(
          (fn) =>
            asyncLocalStorage.run({ user: 'ann' } as never, () => context.with(context.active().setValue(span, 1), fn)),
          () => requestContext.get('user' as never),
        )
      },
    },
    {
      name: 'no context',
      role: 'reference',
      setup: () =>
        handles(
          (fn) => fn(),
          () => 'ann',
        ),
    },
  ],
  targets: [],
}

function handles(open: (fn: () => Promise<unknown>) => Promise<unknown>, read: () => unknown): Work {
  const handler = async () => {
    for (let i = 0; i < awaits; i++) await step()
    return read()
  }
  return {
    op: () => open(handler),
    awaited: true,
    async check() {
      assert.equal(await open(handler), 'ann')
    },
  }
}

async function step(): Promise<void> {}
