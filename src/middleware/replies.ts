import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { keepShape } from '../callbacks.ts'
import { type Exchange, exchangeOf, ofStream } from './exchange.ts'

type Called = (...args: unknown[]) => unknown
type Replaceable = Record<string | symbol, Called>

/**
 * Runs the methods that send a response in its unit, regardless of the code that calls them. Middlewares replace these
 * methods, for example to save a session before the end: each replacement runs in the unit too.
 */
export function enterAtReply(response: ServerResponse | Http2ServerResponse): void {
  const replaceable = response as object as Replaceable
  const { write, writeHead, end } = replaceable
  const before = { write, writeHead, end }
  const own = names.filter((name) => Object.hasOwn(response, name))
  Object.defineProperties(response, descriptors)
  for (const name of own) replaceable[name] = before[name] as Called
}

/** Calls `enterAtReply` if one of the methods is replaced: a call for each response would cost more. */
export function enterAtReplaced(response: ServerResponse | Http2ServerResponse | undefined): void {
  if (response === undefined) return
  // Faster than a look at its own properties.
  const { end, writeHead, write } = Object.getPrototypeOf(response) as ServerResponse
  if (response.end !== end || response.writeHead !== writeHead || response.write !== write) enterAtRawReply(response)
}

/** Calls `enterAtReply` once. */
export function enterAtRawReply(response: ServerResponse | Http2ServerResponse): void {
  if (Object.getOwnPropertyDescriptor(response, 'end')?.get === undefined) enterAtReply(response)
}

/**
 * Sends in its unit what a pipelined response has buffered, and calls the callbacks of that. Node sends it when the
 * response before it ends, in the unit of that one.
 */
export function flushInUnit(exchange: Exchange, response: ServerResponse | Http2ServerResponse): void {
  if ('stream' in response || response.socket !== null) return
  const { assignSocket } = response
  const value = (socket: Socket) => exchange.enter(assignSocket, response, socket)
  Object.defineProperty(response, 'assignSocket', { value, configurable: true, writable: true })
}

/** Postpones the seal until a stream has closed that is the body of a reply to HEAD: it is read or destroyed, not piped. */
export function awaitUnsent(exchange: Exchange, method: string | undefined, body: unknown): void {
  if (method !== 'HEAD') return
  const { finished, Stream } = process.getBuiltinModule('node:stream')
  if (!(body instanceof Stream)) return
  exchange.begin(ofStream)
  finished(body as Readable, () => exchange.end(ofStream))
}

const names = ['write', 'writeHead', 'end'] as const

const descriptors: PropertyDescriptorMap = {
  write: enteringMethod('write'),
  writeHead: enteringMethod('writeHead'),
  end: enteringMethod('end'),
}

/** An accessor whose value is the current method, wrapped. A replacement keeps the method that it has read. */
function enteringMethod(name: string): PropertyDescriptor {
  const key = Symbol(`logical-context.${name}`)
  const entering = enter(function original(this: object, ...args) {
    return (Reflect.get(Object.getPrototypeOf(this) as object, name) as Called).apply(this, args)
  })
  return {
    configurable: true,
    enumerable: false,
    get(this: Replaceable) {
      return this[key] ?? entering
    },
    set(this: Replaceable, method: unknown) {
      this[key] = typeof method === 'function' ? enter(method as Called) : (method as Called)
    },
  }
}

function enter(method: Called): Called {
  return keepShape(method, function (this: object, ...args: unknown[]): unknown {
    const exchange = exchangeOf(this)
    if (exchange === undefined) return method.apply(this, args)
    exchange.reply()
    return exchange.isCurrent ? method.apply(this, args) : exchange.enter(method, this, ...args)
  })
}
