import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { isThenable } from '../tasks/thenable.ts'
import { scopeOf } from './fastify-message.ts'
import { CallbackWait, holdUntilSettled } from './fastify-wait.ts'

/** The hooks of a request's life, with how many arguments each takes at most: the last one is the callback. */
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
 * Lets what an instance, and those below it, are given from here on hold off the seal of its requests until it ends: the
 * hooks behind the reply, and once the client has hung up all others, with the handlers of errors and of what is not
 * found, and parsers of bodies that give a promise. Fastify tells nobody else when that is.
 */
export function holdHooks(fastify: FastifyInstance): void {
  wrapMethod(fastify, 'addHook', ([name, hook]) => [name, isHookName(name) ? heldHook(name, hook) : hook])
  wrapMethod(fastify, 'setErrorHandler', (args) => args.map((arg) => (isCallable(arg) ? held(arg, 1) : arg)))
  // One in callback style may never call back for a body that breaks off.
  wrapMethod(fastify, 'addContentTypeParser', (args) => args.map((arg) => (isCallable(arg) ? held(arg, 0) : arg)))
  wrapMethod(fastify, 'setNotFoundHandler', (args) =>
    args.map((arg) => (isCallable(arg) ? held(arg, 0) : heldHooks(arg))),
  )
}

/** Lets a route's own hooks, and its handler of errors, do the same. */
export function holdRouteHooks(route: RouteOptions): void {
  const errorHandler: unknown = route.errorHandler
  if (isCallable(errorHandler)) Object.assign(route, { errorHandler: held(errorHandler, 1) })
  Object.assign(route, heldHooks(route))
}

/** The same options, with their hooks held. */
function heldHooks(options: unknown): unknown {
  if (typeof options !== 'object' || options === null) return options
  const result: Record<string, unknown> = { ...options }
  for (const name of Object.keys(hookArguments) as HookName[]) {
    const hooks = result[name]
    if (hooks === undefined) continue
    result[name] = Array.isArray(hooks) ? hooks.map((hook) => heldHook(name, hook)) : heldHook(name, hooks)
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

/** Whether a hook begins behind the reply, or behind a hang-up. */
function isLate(name: HookName): boolean {
  return name === 'onResponse' || name === 'onRequestAbort'
}

function heldHook(name: HookName, hook: unknown): unknown {
  // What Fastify refuses it must see itself.
  if (!isCallable(hook) || isRefused(name, hook)) return hook
  return hook.length >= hookArguments[name] ? heldUntilCalledBack(hook, isLate(name)) : held(hook, 0)
}

/** Holds until the promise that is returned has settled. */
function held(called: Called, requestAt: number): Called {
  return wrapOnce(called, function (...args) {
    const result = called.apply(this, args)
    const scope = scopeOf(args[requestAt] as FastifyRequest)
    return scope !== undefined && isThenable(result) ? holdUntilSettled(scope, result) : result
  })
}

/** Holds until the callback is called, or, as Fastify has it, until a promise that is returned has settled. */
function heldUntilCalledBack(called: Called, late: boolean): Called {
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
    if (late) wait.hold()
    else wait.holdIfLost(args[1] as FastifyReply)
    return result
  })
}

/** A route for GET is seen a second time as one for HEAD: what is a wrapper already stays one. */
function wrapOnce(called: Called, wrapper: Called): Called {
  if (wrappers.has(called)) return called
  wrappers.add(wrapper)
  return Object.defineProperty(wrapper, 'name', { value: called.name })
}

const wrappers = new WeakSet<Called>()

function isRefused(name: HookName, { constructor, length }: Function): boolean {
  if (constructor.name !== 'AsyncFunction') return false
  return length === hookArguments[name] || (name === 'onRequestAbort' && length !== 1)
}
