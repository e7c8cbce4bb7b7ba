import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { type MicroRow, ofFloor, ours, type Work } from '../harness/row.ts'
import { honoContext, nestCls, otelContext } from './peers.ts'

export const scope: MicroRow = {
  kind: 'micro',
  name: 'scope',
  title: 'Open and close a scope',
  about: 'A function runs in its own scope, which ends with the function.',
  sides: [
    {
      name: 'als.run({}, fn)',
      role: 'floor',
      setup() {
        const storage = new AsyncLocalStorage<object>()
        return opens(
          (fn) => storage.run({}, fn),
          () => storage.getStore(),
        )
      },
    },
    {
      name: ours,
      role: 'ours',
      async setup() {
        const { currentSignal, runInScope } = await import('logical-context')
        return opens(
          (fn) => runInScope(fn),
          () => currentSignal(),
        )
      },
    },
    {
      name: '@fastify/request-context',
      role: 'peer',
      async setup() {
        const { asyncLocalStorage, requestContext } = await import('@fastify/request-context')
        return opens(
          (fn) => asyncLocalStorage.run({} as never, fn),
          () => requestContext.getStore(),
        )
      },
    },
    {
      name: 'nestjs-cls',
      role: 'peer',
      async setup() {
        const cls = await nestCls()
        return opens(
          (fn) => cls.run(fn),
          () => cls.get(),
        )
      },
    },
    {
      name: 'OpenTelemetry context',
      role: 'peer',
      async setup() {
        const { context, keys } = await otelContext(['request'], '')
        const request = keys[0] as symbol
        return opens(
          (fn) => context.with(context.active().setValue(request, 1), fn),
          () => context.active().getValue(request),
        )
      },
    },
    {
      name: 'hono context-storage',
      role: 'peer',
      async setup() {
        const { middleware, newContext } = await honoContext({})
        const { tryGetContext } = await import('hono/context-storage')
        const request = newContext()
        return opens(
          (fn) => {
            let result: unknown
            void middleware(request as never, async () => void (result = fn()))
            return result
          },
          () => tryGetContext(),
        )
      },
    },
    {
      name: 'unctx',
      role: 'peer',
      async setup() {
        const { createContext } = await import('unctx')
        const context = createContext<object>({ asyncContext: true, AsyncLocalStorage })
        return opens(
          (fn) => context.call({}, fn),
          () => context.tryUse() ?? undefined,
        )
      },
    },
    {
      name: 'cls-rtracer',
      role: 'peer',
      async setup() {
        const { default: rtracer } = await import('cls-rtracer')
        return opens(
          (fn) => rtracer.runWithId(fn),
          () => rtracer.id(),
        )
      },
    },
  ],
  targets: [ofFloor(1.5)],
}

function opens(open: (fn: () => unknown) => unknown, scopeHere: () => unknown): Work {
  let runs = 0
  const body = () => ++runs
  return {
    op: () => open(body),
    check() {
      assert.equal(scopeHere(), undefined)
      assert.ok(open(() => scopeHere() !== undefined))
      assert.equal(scopeHere(), undefined)
      const before = runs
      assert.equal(open(body), before + 1)
    },
  }
}
