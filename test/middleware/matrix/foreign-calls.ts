import { AsyncResource } from 'node:async_hooks'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Recipe } from './recipes.ts'
import { callerOf } from './shop.ts'

/** A place in which a program calls back, and the path of a request that comes there. */
export const foreignPlaces = {
  onRequest: '/ok',
  preParsing: '/ok',
  preValidation: '/ok',
  preHandler: '/ok',
  preSerialization: '/ok',
  onSend: '/ok',
  onError: '/throws',
  onResponse: '/ok',
  'body parser': '/body',
  handler: '/callback',
} as const
export type ForeignPlace = keyof typeof foreignPlaces

/** The code that calls back for a request: a callback of another request that is not answered, or of none. */
export const foreigners = ['another live request', 'no request'] as const
export type Foreigner = (typeof foreigners)[number]

/** At one place, ann's request continues in a context that is not hers: as a driver's shared client calls back. */
export interface ForeignCall {
  readonly place: ForeignPlace
  readonly by: Foreigner
}

const nowhere = new AsyncResource('nowhere')

/** Calls back in the context of another request or of none, where the requested place is. */
export class ForeignCaller {
  readonly #call: ForeignCall | undefined
  #other: AsyncResource | undefined

  constructor(call: ForeignCall | undefined) {
    this.#call = call
  }

  /** The other request calls this. */
  enter(): void {
    this.#other = new AsyncResource('other')
  }

  /** Calls `fn` where it is, or in the foreign context. */
  callBack(request: { headers: Record<string, unknown> }, place: ForeignPlace, fn: () => void): void {
    const call = this.#call
    if (call?.place !== place || callerOf(request) !== 'ann') return fn()
    const resource = call.by === 'no request' ? nowhere : this.#other
    setImmediate(() => (resource ?? nowhere).runInAsyncScope(fn))
  }

  /** Adds a hook that calls back, after the hooks that look. */
  addHook(app: FastifyInstance, recipe: Recipe): void {
    if (this.#call === undefined) return
    app.get('/other', async (request) => {
      recipe.setUser(callerOf(request))
      this.enter()
      return new Promise((resolve) => request.raw.once('close', () => resolve('gone')))
    })
    const { place } = this.#call
    if (place === 'body parser' || place === 'handler') return
    const hasPayload = place === 'preParsing' || place === 'preSerialization' || place === 'onSend'
    const hook = (request: FastifyRequest, ...args: unknown[]) => {
      const done = args.at(-1) as (error?: null, payload?: unknown) => void
      this.callBack(request, place, () => (hasPayload ? done(null, args.at(-2)) : done()))
    }
    app.addHook(place as 'onRequest', hook as never)
  }
}
