// The setup of the peers that several rows have.
import type { Context as OtelContext } from '@opentelemetry/api'

/** nestjs-cls without Nest: the service is the same. */
export async function nestCls() {
  await import('reflect-metadata')
  const { ClsServiceManager } = await import('nestjs-cls')
  return ClsServiceManager.getClsService<Record<string, unknown>>()
}

/** OpenTelemetry's context API with the context manager of its Node SDK, and a context in which all keys have `value`. */
export async function otelContext(names: readonly string[], value: unknown) {
  const { context, createContextKey, ROOT_CONTEXT } = await import('@opentelemetry/api')
  const { AsyncLocalStorageContextManager } = await import('@opentelemetry/context-async-hooks')
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  const keys = names.map((name) => createContextKey(name))
  const filled = keys.reduce((known: OtelContext, key) => known.setValue(key, value), ROOT_CONTEXT)
  return { context, keys, filled }
}

/** Hono's middleware around `run`, with a context of Hono's own class. */
export async function honoContext(values: Record<string, unknown>) {
  const { Context } = await import('hono')
  const { contextStorage, getContext } = await import('hono/context-storage')
  const middleware = contextStorage()
  const newContext = () => {
    const made = new Context<{ Variables: Record<string, unknown> }>(new Request('http://localhost/'))
    for (const [name, value] of Object.entries(values)) made.set(name, value)
    return made
  }
  const shared = newContext()
  return {
    newContext,
    middleware,
    getContext: () => getContext<{ Variables: Record<string, unknown> }>(),
    /** The middleware drops the result, and awaits what `loop` returns. */
    run<R>(loop: () => R): R {
      let result: R | undefined
      const ended = middleware(shared as never, async () => {
        result = loop()
        await result
      })
      return (result instanceof Promise ? ended.then(() => result) : result) as R
    },
  }
}
