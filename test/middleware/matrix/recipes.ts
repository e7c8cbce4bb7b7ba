import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { bind, ContextVar, type RequestScope } from 'logical-context'
import { pinoMixin } from 'logical-context/bridges/pino'
import logicalContext from 'logical-context/middleware/fastify'
import { requestId } from 'logical-context/variables'
import type { Place } from './places.ts'
import type { See } from './shop.ts'
import type { Caller } from './sightings.ts'

/** A way to give requests a context. */
export interface Recipe {
  /** Pino's mixin, which writes the request's id as `request_id`. */
  readonly mixin: () => object
  install(app: FastifyInstance): Promise<void>
  /** In an `onRequest` hook. */
  setUser(user: string): void
  readonly user: () => string | undefined
  bind(fn: () => void): () => void
  /** Describes what only this recipe has. */
  onRequest?(request: FastifyRequest, look: (place: Place) => void): void
  /** Looks in the listeners of the lifecycle channels. Returns a function that ends it. */
  watchScopes?(see: See): () => void
}

const user = new ContextVar<string>('user')

/** The plugin under test. */
export const logicalContextRecipe: Recipe = {
  mixin: pinoMixin() as () => object,
  async install(app) {
    await app.register(logicalContext, { drainTimeoutMs: 500 })
  },
  setUser: (name) => user.set(name),
  user: () => user.get(),
  bind,
  onRequest({ requestScope: { signal } }, look) {
    signal.addEventListener('abort', () => look('abort of scope.signal'))
  },
  watchScopes(see) {
    const ends = (['open', 'close', 'seal'] as const).map((event) => {
      const name = `logical-context:scope:${event}`
      const listener = (message: unknown) => {
        const { context } = (message as { scope: RequestScope }).scope
        // No user is set before the first hook, and none is left after the seal. The id is always set.
        see(context.get(requestId) as Caller, `channel scope:${event}`, requestId.get())
      }
      subscribe(name, listener)
      return () => unsubscribe(name, listener)
    })
    return () => ends.forEach((end) => end())
  },
}

const store = new AsyncLocalStorage<{ id: string; user?: string }>()

/** What one writes by hand: `run` in the first hook, and nothing else. */
export const bareRunRecipe: Recipe = {
  mixin: () => ({ request_id: store.getStore()?.id }),
  async install(app) {
    app.addHook('onRequest', (request, _reply, done) => store.run({ id: request.id }, done))
  },
  setUser(name) {
    const known = store.getStore()
    if (known !== undefined) known.user = name
  },
  user: () => store.getStore()?.user,
  bind: (fn) => AsyncResource.bind(fn),
}
