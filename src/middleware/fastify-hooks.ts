import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { captureSnapshot } from '../context/storage.ts'
import { isThenable, keepShape } from '../callbacks.ts'
import { type Exchange, exchangeOf, type Wait } from './exchange.ts'
import { awaitUnsent, enterAtRawReply, enterAtReplaced } from './replies.ts'

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
export type HookName = keyof typeof hookArguments
export const hookNames: readonly HookName[] = Object.keys(hookArguments) as HookName[]

/** The hooks before the handler. One that replies does not call its callback. */
const beforeReply: readonly HookName[] = ['onRequest', 'preParsing', 'preValidation', 'preHandler']

/** A function of a route. Fastify has bound its `this`, and calls it with at most four arguments. */
export type Called = (first?: unknown, second?: unknown, third?: unknown, fourth?: unknown) => unknown

/** Our own hooks enter the unit themselves. Fastify binds them, so only the name is left. */
const ownHook = /^(?:bound )*logicalContextOn(?:Request|Error|Timeout|Response)$/

/** A hook that is called in the unit. Its callback continues in the contexts in which the hook was called. */
export function trackedHook(name: HookName, hook: Called): Called {
  if (ownHook.test(hook.name)) return hook
  const what = describe(`the hook ${name}`, hook)
  const promised: Wait = { what, untilReply: false }
  // Fastify rejects an async hook that declares a callback.
  if (isAsync(hook)) return wrapOnce(hook, inUnit(hook, 0, promised))
  const count = hookArguments[name]
  const callback: Wait = { what, untilReply: beforeReply.includes(name) }
  // One that declares no callback and returns no promise never calls back.
  const awaited = hook.length >= count ? callback : undefined

  const call = (exchange: Exchange, first: unknown, second: unknown, third: unknown, fourth: unknown): unknown => {
    const snapshot = captureSnapshot()
    const next = (count === 2 ? second : count === 3 ? third : fourth) as Called
    let calledBack = false
    const done: Called = (error, payload) => {
      if (awaited !== undefined) exchange.end(awaited)
      calledBack = true
      // A block or a span that the hook opened around this call stays.
      if (exchange.isCurrent) return next(error, payload)
      return snapshot.runInAsyncScope(next, undefined, error, payload)
    }
    let result: unknown
    if (count === 2) result = hook(first, done)
    else if (count === 3) result = hook(first, second, done)
    else result = hook(first, second, third, done)
    if (!calledBack) enterAtReplaced((second as Partial<FastifyReply>).raw)
    if (isPromise(result, second)) return exchange.endWith(promised, result)
    if (awaited !== undefined && !calledBack) exchange.begin(awaited)
    return result
  }
  return wrapOnce(hook, (first, second, third, fourth) => {
    const exchange = exchangeOf((first as FastifyRequest).raw)
    if (exchange === undefined) return hook(first, second, third, fourth)
    if (exchange.isCurrent) return call(exchange, first, second, third, fourth)
    return exchange.enter(call, undefined, exchange, first, second, third, fourth)
  })
}

/** A body parser that is called in the unit. One in callback style may never call back for a body that breaks off. */
export function trackedParser(parser: Called): Called {
  return wrapOnce(parser, inUnit(parser, 0, { what: describe('the body parser', parser), untilReply: false }))
}

/** A handler that is called in the unit, and whose values are kept until it has settled or replied. */
export function trackedHandler(handler: Called): Called {
  return wrapOnce(handler, replyingInUnit(handler, 0, describe('the handler', handler)))
}

export function trackedErrorHandler(handler: Called): Called {
  return wrapOnce(handler, replyingInUnit(handler, 1, describe('the error handler', handler)))
}

/** For a function that returns a promise, or whose end does not matter. */
function inUnit(called: Called, requestAt: 0 | 1, promised: Wait): Called {
  return (first, second, third, fourth) => {
    const exchange = exchangeOf(((requestAt === 0 ? first : second) as FastifyRequest).raw)
    if (exchange === undefined) return called(first, second, third, fourth)
    const result = exchange.isCurrent
      ? called(first, second, third, fourth)
      : exchange.enter(called, undefined, first, second, third, fourth)
    if (!isPromise(result, second)) return result
    enterAtReplaced((second as Partial<FastifyReply> | undefined)?.raw)
    return exchange.endWith(promised, result)
  }
}

/** For a function that returns a promise or a reply, or replies later. */
function replyingInUnit(called: Called, requestAt: 0 | 1, what: string): Called {
  const promised: Wait = { what, untilReply: false }
  const replying: Wait = { what, untilReply: true }
  const call = (exchange: Exchange, first: unknown, second: unknown, third: unknown): unknown => {
    if (requestAt === 1) exchange.replyAgain()
    const reply = (requestAt === 0 ? second : third) as FastifyReply
    const result = called(first, second, third)
    if (isPromise(result, reply)) {
      enterAtReplaced(reply.raw)
      return exchange.endWith(promised, result)
    }
    if (result === undefined) {
      enterAtReplaced(reply.raw)
      exchange.awaitReply(replying)
    }
    return result
  }
  return (first, second, third) => {
    const exchange = exchangeOf(((requestAt === 0 ? first : second) as FastifyRequest).raw)
    if (exchange === undefined) return called(first, second, third)
    if (exchange.isCurrent) return call(exchange, first, second, third)
    return exchange.enter(call, undefined, exchange, first, second, third)
  }
}

/** A reply is a thenable too: it settles with the response, which the seal waits for anyway. */
function isPromise(result: unknown, reply: unknown): result is PromiseLike<unknown> {
  return result !== reply && isThenable(result)
}

function isAsync({ constructor }: Called): boolean {
  return constructor.name === 'AsyncFunction'
}

function describe(what: string, { name }: Called): string {
  const own = name.replace(/^bound /, '')
  return own === '' || own === what.split(' ').at(-1) ? what : `${what} '${own}'`
}

/** Routes share functions. */
function wrapOnce(called: Called, wrapper: Called): Called {
  if (wrappers.has(called)) return called
  wrappers.add(wrapper)
  return keepShape(called, wrapper)
}

const wrappers = new WeakSet<Called>()

/**
 * Replies run in the unit regardless of the code that calls `send`: the serializer, the hooks after it, trailers. A
 * reply, which is a thenable, settles also if the response closed before.
 */
export function trackReplies(fastify: FastifyInstance, replyIdHeader: string | false, begin: Begin): void {
  overrideReply(fastify, 'send', (reply, exchange, send, payload) => {
    if (exchange === undefined) {
      begin(reply, () => void send.call(reply, payload))
      return reply
    }
    exchange.reply()
    enterAtReplaced(reply.raw)
    awaitUnsent(exchange, reply.request.method, payload)
    return exchange.isCurrent ? send.call(reply, payload) : exchange.enter(send, reply, payload)
  })
  overrideReply(fastify, 'hijack', (reply, exchange, hijack) => {
    if (exchange === undefined) begin(reply, () => {})
    // A protocol that is not HTTP has no reply. Else the reply begins with the first call of a method of `raw`.
    else if ('upgrade' in reply.request.raw.headers) exchange.reply()
    const { raw } = reply
    enterAtRawReply(raw)
    // Fastify sends its headers only with its own replies.
    const id = replyIdHeader === false ? undefined : reply.getHeader(replyIdHeader)
    if (id !== undefined && !raw.headersSent) raw.setHeader(replyIdHeader as string, id)
    return hijack.call(reply)
  })
  overrideReply(fastify, 'trailer', (reply, exchange, trailer, name, fn) => {
    if (exchange === undefined || typeof fn !== 'function') return trailer.call(reply, name, fn)
    const call = fn as Called
    return trailer.call(reply, name, (...args: unknown[]) => exchange.enter(call, undefined, ...args))
  })
  // An async handler that returns the reply has replaced methods after its first `await`.
  overrideReply(fastify, 'then', (reply, exchange, then, fulfilled, rejected) => {
    if (exchange !== undefined) enterAtReplaced(reply.raw)
    // Over HTTP/2 a reset response emits no event any more: the original would never settle.
    if (exchange === undefined || exchange.responseOpen) return then.call(reply, fulfilled, rejected)
    return (fulfilled as Called | undefined)?.()
  })
}

/** Opens the exchange of a reply before our `onRequest` hook has run, and calls `fn`. */
type Begin = (reply: FastifyReply, fn: () => void) => void

type ReplyMethod = (this: FastifyReply, first?: unknown, second?: unknown) => unknown

/** Replaces a method of an app's replies: a decorator is on a prototype of the app's own. */
function overrideReply(
  fastify: FastifyInstance,
  name: 'send' | 'hijack' | 'trailer' | 'then',
  override: (
    reply: FastifyReply,
    exchange: Exchange | undefined,
    original: ReplyMethod,
    first: unknown,
    second: unknown,
  ) => unknown,
): void {
  let original: ReplyMethod | undefined
  const method: ReplyMethod = function (first, second) {
    original ??= inherited(this, name, method)
    return override(this, exchangeOf(this.request.raw), original, first, second)
  }
  // Without the reply, its exchange and the original.
  const length = override.length - 3
  fastify.decorateReply(name as 'requestScope', keepShape({ name, length }, method) as never)
}

/** The method that `method` overrides. */
function inherited(reply: FastifyReply, name: string, method: ReplyMethod): ReplyMethod {
  let object = reply as object
  while (!Object.hasOwn(object, name) || Reflect.get(object, name) !== method)
    object = Object.getPrototypeOf(object) as object
  return Reflect.get(Object.getPrototypeOf(object) as object, name) as ReplyMethod
}
