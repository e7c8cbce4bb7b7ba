import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { type MicroRow, ofFloor, ours, type Work } from '../harness/row.ts'
import { honoContext, nestCls, otelContext } from './peers.ts'

export const set: MicroRow = {
  kind: 'micro',
  name: 'set',
  title: '`ContextVar.set`',
  about:
    'The side replaces a value of the request; code of the request that reads it later sees the new value. ' +
    'OpenTelemetry cannot do that: its side makes a context with the value and runs an empty function in it.',
  sides: [
    {
      name: 'mutable object in the store',
      role: 'floor',
      setup() {
        const storage = new AsyncLocalStorage<{ user: string }>()
        return writes({
          set: (value) => ((storage.getStore() as { user: string }).user = value),
          get: () => storage.getStore()?.user,
          within: (loop) => storage.run({ user: '' }, loop),
        })
      },
    },
    {
      name: ours,
      role: 'ours',
      async setup() {
        const { ContextVar, runInScope } = await import('logical-context')
        const user = new ContextVar<string>('user')
        return writes({ set: (value) => user.set(value), get: () => user.get(), within: (loop) => runInScope(loop) })
      },
    },
    {
      name: '@fastify/request-context',
      role: 'peer',
      async setup() {
        const { asyncLocalStorage, requestContext } = await import('@fastify/request-context')
        return writes({
          set: (value) => requestContext.set('user' as never, value as never),
          get: () => requestContext.get('user' as never),
          within: (loop) => asyncLocalStorage.run({} as never, loop),
        })
      },
    },
    {
      name: 'nestjs-cls',
      role: 'peer',
      async setup() {
        const cls = await nestCls()
        return writes({
          set: (value) => cls.set('user', value),
          get: () => cls.get('user'),
          within: (loop) => cls.run(loop),
        })
      },
    },
    {
      name: 'OpenTelemetry context',
      role: 'peer',
      async setup() {
        const { context, keys, filled } = await otelContext(['user'], '')
        const user = keys[0] as symbol
        let seen: unknown
        const read = () => (seen = context.active().getValue(user))
        return writes({
          set: (value) => context.with(context.active().setValue(user, value), read),
          get: () => seen,
          within: (loop) => context.with(filled, loop),
        })
      },
    },
    {
      name: 'hono context-storage',
      role: 'peer',
      async setup() {
        const { getContext, run } = await honoContext({})
        return writes({
          set: (value) => getContext().set('user', value),
          get: () => getContext().get('user'),
          within: run,
        })
      },
    },
    {
      name: 'unctx',
      role: 'peer',
      async setup() {
        const { createContext } = await import('unctx')
        const context = createContext<{ user: string }>({ asyncContext: true, AsyncLocalStorage })
        const store = { user: '' }
        return writes({
          set: (value) => (context.use().user = value),
          get: () => context.use().user,
          within: (loop) => context.call(store, loop),
        })
      },
    },
  ],
  targets: [ofFloor(2)],
}

function writes(side: { set(value: string): unknown; get(): unknown; within: <R>(loop: () => R) => R }): Work {
  const values = ['ann', 'bob']
  let turn = 0
  return {
    op: () => side.set(values[turn++ & 1] as string),
    within: side.within,
    check: () =>
      side.within(async () => {
        side.set('cat')
        await Promise.resolve()
        assert.equal(side.get(), 'cat')
        side.set('dan')
        assert.equal(side.get(), 'dan')
      }),
  }
}
