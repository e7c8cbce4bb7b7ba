import type { FastifyInstance } from 'fastify'
import { keepShape } from '../callbacks.ts'
import { isFunction } from '../options.ts'
import { exchangeOf } from './exchange.ts'
import { trackLayers } from './express-layers.ts'
import { nextInUnit } from './node-requests.ts'

type Called = (...args: unknown[]) => unknown

/** An app, or a plugin inside it, to which `@fastify/middie` or `@fastify/express` may have added these. */
interface WithMiddlewares {
  decorate: Called
  use?: Called
  express?: unknown
}

/**
 * Runs each middleware of `@fastify/middie` in the unit of its request, regardless of the code that calls `next` of the
 * one before: they share one hook. The plugin adds the method `use` to the app, now or later.
 */
export function trackMiddlewares(fastify: FastifyInstance): void {
  const app = fastify as object as WithMiddlewares
  const { decorate, use } = app
  app.decorate = keepShape(decorate, function (this: unknown, name, value, ...rest) {
    return decorate.call(this, name, name === 'use' && isFunction(value) ? useInUnit(value as Called) : value, ...rest)
  })
  if (isFunction(use)) app.use = useInUnit(use)
}

/** The same for `@fastify/express`. Called at the first request of a route, when the app of Express has its layers. */
export function trackExpress(fastify: object): void {
  const { express } = fastify as WithMiddlewares
  if (isFunction(express)) trackLayers({ app: express } as never)
}

function useInUnit(use: Called): Called {
  return keepShape(use, function (this: WithMiddlewares, ...args) {
    // A wrapper would hide from Express that a function is a router or an app.
    return use.apply(this, isFunction(this.express) ? args : args.map(tracked))
  })
}

/** A middleware, or a list of them, with another `next`; a path is unchanged. */
function tracked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(tracked)
  if (!isFunction(value)) return value
  const middleware = value as Called
  return keepShape(middleware, function (this: unknown, ...args: unknown[]) {
    const [request, response, next] = args
    const exchange = exchangeOf(request as object | undefined)
    if (exchange === undefined) return middleware.apply(this, args)
    return exchange.enter(middleware, this, request, response, nextInUnit(exchange, next as Called))
  })
}
