import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { type MicroRow, ofFloor, ours } from '../harness/row.ts'
import { honoContext, nestCls, otelContext } from './peers.ts'

const value = 'ann'

/** A read of one of a request's three values. */
export const get: MicroRow = {
  kind: 'micro',
  name: 'get',
  title: '`ContextVar.get`',
  about: 'One of three values of a request is read, inside the request.',
  sides: [
    {
      name: 'getStore() and array read',
      role: 'floor',
      setup() {
        const storage = new AsyncLocalStorage<{ slots: string[] }>()
        const store = { slots: ['a', 'b', value] }
        return reads(
          () => storage.getStore()?.slots[2],
          (loop) => storage.run(store, loop),
        )
      },
    },
    {
      name: ours,
      role: 'ours',
      async setup() {
        const { ContextVar, runInScope } = await import('logical-context')
        const [tenant, user, name] = ['tenant', 'user', 'name'].map((of) => new ContextVar<string>(of))
        return reads(
          () => name?.get(),
          (loop) =>
            runInScope(() => {
              tenant?.set('a')
              user?.set('b')
              name?.set(value)
              return loop()
            }),
        )
      },
    },
    {
      name: '@fastify/request-context',
      role: 'peer',
      async setup() {
        const { asyncLocalStorage, requestContext } = await import('@fastify/request-context')
        const store = { tenant: 'a', user: 'b', name: value } as never
        return reads(
          () => requestContext.get('name' as never),
          (loop) => asyncLocalStorage.run(store, loop),
        )
      },
    },
    {
      name: 'nestjs-cls',
      role: 'peer',
      async setup() {
        const cls = await nestCls()
        return reads(
          () => cls.get('name'),
          (loop) => cls.runWith({ tenant: 'a', user: 'b', name: value }, loop),
        )
      },
    },
    {
      name: 'OpenTelemetry context',
      role: 'peer',
      async setup() {
        const { context, keys, filled } = await otelContext(['tenant', 'user', 'name'], value)
        const name = keys.at(-1) as symbol
        return reads(
          () => context.active().getValue(name),
          (loop) => context.with(filled, loop),
        )
      },
    },
    {
      name: 'hono context-storage',
      role: 'peer',
      async setup() {
        const { getContext, run } = await honoContext({ tenant: 'a', user: 'b', name: value })
        return reads(() => getContext().get('name'), run)
      },
    },
    {
      name: 'unctx',
      role: 'peer',
      async setup() {
        const store = { tenant: 'a', user: 'b', name: value }
        const { createContext } = await import('unctx')
        const context = createContext<typeof store>({ asyncContext: true, AsyncLocalStorage })
        return reads(
          () => context.use().name,
          (loop) => context.call(store, loop),
        )
      },
    },
  ],
  targets: [ofFloor(1.15)],
}

function reads(op: () => unknown, within: <R>(loop: () => R) => R) {
  return {
    op,
    within,
    check: () =>
      within(async () => {
        assert.equal(op(), value)
        await Promise.resolve()
        assert.equal(op(), value)
      }),
  }
}
