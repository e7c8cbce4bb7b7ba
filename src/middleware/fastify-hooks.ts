import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { isThenable } from '../tasks/thenable.ts'
import { CallbackWait, postponeUntilSettled, scopeOf } from './exchange.ts'

/** The hooks of a request, with the number of arguments of each. The last argument is the callback. */
const hookArguments = {
  onRequest: 3,
  preParsing: 4,
  preValidation: 3,
  preHandler: 3,
  preSerialization: 4,
  onSend: 4,
  onError: 4,
  onResponse: 3,
  onTimeout: 3,
  onRequestAbort: 2,
} as const
type HookName = keyof typeof hookArguments

type Called = (this: unknown, ...args: unknown[]) => unknown

/**
 * Tracks the hooks, error handlers, not-found handlers and body parsers that are added to an instance from here on, and
 * to its children: the seal of a request is postponed until they end.
 */
export function trackHooks(fastify: FastifyInstance): void {
  wrapMethod(fastify, 'addHook', ([name, hook]) => [name, isHookName(name) ? trackedHook(name, hook) : hook])
  wrapMethod(fastify, 'setErrorHandler', (args) => args.map((arg) => (isCallable(arg) ? tracked(arg, 1) : arg)))
  // Only parsers that return a promise: one in callback style may never call back for a body that breaks off.
  wrapMethod(fastify, 'addContentTypeParser', (args) => args.map((arg) => (isCallable(arg) ? tracked(arg, 0) : arg)))
  wrapMethod(fastify, 'setNotFoundHandler', (args) =>
    args.map((arg) => (isCallable(arg) ? tracked(arg, 0) : trackedHooks(arg))),
  )
}

/** Tracks the hooks and the error handler of a route. */
export function trackRouteHooks(route: RouteOptions): void {
  const errorHandler: unknown = route.errorHandler
  if (isCallable(errorHandler)) Object.assign(route, { errorHandler: tracked(errorHandler, 1) })
  Object.assign(route, trackedHooks(route))
}

/** Runs the handler of a route in its request's unit, and tracks it. */
export function trackHandler(route: RouteOptions): void {
  const { handler } = route
  // Fastify declares a GET route a second time, for HEAD.
  if (wrappers.has(handler as Called)) return
  const trackedHandler: typeof handler = function trackedHandler(request, reply) {
    const scope = scopeOf(request)
    if (scope === undefined) return handler.call(this, request, reply)
    const result: unknown = scope.runInSnapshot(handler, this, request, reply)
    return isThenable(result) ? postponeUntilSettled(scope, result) : result
  }
  wrappers.add(trackedHandler as Called)
  route.handler = trackedHandler
}

/** A copy of options, with tracked hooks. */
function trackedHooks(options: unknown): unknown {
  if (typeof options !== 'object' || options === null) return options
  const result: Record<string, unknown> = { ...options }
  for (const name of Object.keys(hookArguments) as HookName[]) {
    const hooks = result[name]
    if (hooks === undefined) continue
    result[name] = Array.isArray(hooks) ? hooks.map((hook) => trackedHook(name, hook)) : trackedHook(name, hooks)
  }
  return result
}

function wrapMethod(
  fastify: FastifyInstance,
  name: 'addContentTypeParser' | 'addHook' | 'setErrorHandler' | 'setNotFoundHandler',
  wrapAll: (args: unknown[]) => unknown[],
): void {
  const method = fastify[name] as Called
  const wrapping: Called = function (...args) {
    return method.apply(this, wrapAll(args))
  }
  Object.assign(fastify, { [name]: wrapping })
}

function isCallable(value: unknown): value is Called {
  return typeof value === 'function'
}

function isHookName(name: unknown): name is HookName {
  return typeof name === 'string' && Object.hasOwn(hookArguments, name)
}

/** Whether a hook starts after the reply or after a disconnect. */
function isLate(name: HookName): boolean {
  return name === 'onResponse' || name === 'onRequestAbort'
}

function trackedHook(name: HookName, hook: unknown): unknown {
  // Fastify itself must see what it rejects.
  if (!isCallable(hook) || isRejected(name, hook)) return hook
  return hook.length >= hookArguments[name] ? trackedUntilCallback(hook, isLate(name)) : tracked(hook, 0)
}

/** Postpones the seal until the returned promise has settled. */
function tracked(called: Called, requestAt: number): Called {
  return wrapOnce(called, function (...args) {
    const result = called.apply(this, args)
    const scope = scopeOf(args[requestAt] as FastifyRequest)
    return scope !== undefined && isThenable(result) ? postponeUntilSettled(scope, result) : result
  })
}

/** Postpones the seal until the callback is called or, as in Fastify, until a returned promise has settled. */
function trackedUntilCallback(called: Called, late: boolean): Called {
  return wrapOnce(called, function (...args) {
    const scope = scopeOf(args[0] as FastifyRequest)
    if (scope === undefined) return called.apply(this, args)
    const done = args.pop() as Called
    const wait = new CallbackWait(scope)
    const result = called.call(this, ...args, (...results: unknown[]) => {
      wait.end()
      done(...results)
    })
    if (isThenable(result)) result.then(wait.end, wait.end)
    const reply = args[1] as FastifyReply
    if (late) wait.postpone()
    else wait.postponeIfLost(reply.raw, () => reply.sent || reply.raw.headersSent)
    return result
  })
}

function wrapOnce(called: Called, wrapper: Called): Called {
  if (wrappers.has(called)) return called
  wrappers.add(wrapper)
  return Object.defineProperty(wrapper, 'name', { value: called.name })
}

const wrappers = new WeakSet<Called>()

function isRejected(name: HookName, { constructor, length }: Function): boolean {
  if (constructor.name !== 'AsyncFunction') return false
  return length === hookArguments[name] || (name === 'onRequestAbort' && length !== 1)
}
