import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify'
import { isFunction } from '../options.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { isThenable } from '../tasks/thenable.ts'
import { scopeOf } from './fastify-message.ts'

/** The hooks that begin when the reply or its connection is at its end, with how many arguments each takes at most. */
const lateHooks = { onResponse: 3, onRequestAbort: 2 } as const
type LateHook = keyof typeof lateHooks

type Hook = (this: unknown, request: FastifyRequest, ...rest: unknown[]) => unknown
type Done = (error?: Error) => void

/**
 * Lets the late hooks of an instance and of those below it, added from here on, hold off the seal until they end: Fastify
 * tells nobody else when that is.
 */
export function holdHooks(fastify: FastifyInstance): void {
  const addHook = fastify.addHook as (this: FastifyInstance, name: string, hook: unknown) => FastifyInstance
  fastify.addHook = function addHookThatHolds(this: FastifyInstance, name: string, hook: unknown) {
    return addHook.call(this, name, isLate(name) ? held(hook, lateHooks[name]) : hook)
  }
}

/** Lets a route's own late hooks do the same. */
export function holdRouteHooks(route: RouteOptions): void {
  for (const name of Object.keys(lateHooks) as LateHook[]) {
    const hooks: unknown = route[name]
    if (hooks === undefined) continue
    const holding = Array.isArray(hooks)
      ? hooks.map((hook) => held(hook, lateHooks[name]))
      : held(hooks, lateHooks[name])
    Object.assign(route, { [name]: holding })
  }
}

/** Holds off the seal until a thenable has settled and what waits for it has begun; gives a promise for the same. */
export function holdUntilSettled(scope: RequestScope, result: PromiseLike<unknown>): Promise<unknown> {
  // A foreign thenable is asked once: it may do its work anew at each `then`, as a query builder does.
  const promise = result instanceof Promise ? result : Promise.resolve(result)
  scope.retain()
  // Smaller than a closure, and a request may be in flight for long.
  const settled = releaseBehind.bind(scope)
  promise.then(settled, settled)
  return promise
}

/** After the end of the reply the seal waits for this alone: Fastify logs, or calls its next hook, behind it. */
function releaseBehind(this: RequestScope): void {
  if (this.closed) setImmediate(() => this.release())
  else this.release()
}

function isLate(name: string): name is LateHook {
  return Object.hasOwn(lateHooks, name)
}

function held(hook: unknown, maxArguments: number): unknown {
  // What Fastify refuses it must see itself. A route for GET is seen a second time as one for HEAD.
  if (!isFunction(hook) || isRefused(hook, maxArguments) || holding.has(hook)) return hook
  const original = hook as Hook
  const heldHook: Hook = function heldHook(request, ...rest) {
    const scope = scopeOf(request)
    if (scope === undefined) return original.call(this, request, ...rest)
    if (original.length >= maxArguments) return callHolding(scope, original, this, request, rest)
    const result = original.call(this, request, ...rest)
    return isThenable(result) ? holdUntilSettled(scope, result) : result
  }
  holding.add(heldHook)
  return Object.defineProperty(heldHook, 'name', { value: hook.name })
}

/** The same for a hook that is over when it calls back; or, as Fastify has it, when its promise has settled. */
function callHolding(
  scope: RequestScope,
  hook: Hook,
  self: unknown,
  request: FastifyRequest,
  rest: unknown[],
): unknown {
  const done = rest.pop() as Done
  let over = false
  const release = () => {
    if (!over) releaseBehind.call(scope)
    over = true
  }
  scope.retain()
  try {
    const result = hook.call(self, request, ...rest, (error?: Error) => {
      release()
      done(error)
    })
    if (isThenable(result)) result.then(release, release)
    return result
  } catch (error) {
    release()
    throw error
  }
}

const holding = new WeakSet<object>()

function isRefused({ constructor, length }: Function, maxArguments: number): boolean {
  return constructor.name === 'AsyncFunction' && length >= maxArguments
}
