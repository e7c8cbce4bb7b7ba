import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { pino } from 'pino'
import { type ForeignCall, ForeignCaller } from './foreign-calls.ts'
import { watchHooks } from './hooks.ts'
import type { Place } from './places.ts'
import type { Recipe } from './recipes.ts'
import { addRoutes } from './routes.ts'
import { type Caller, Sightings } from './sightings.ts'

/** A server that looks at the value of a request wherever it can. */
export interface Shop {
  readonly app: FastifyInstance
  readonly sightings: Sightings
  /** Lets the handler of `/held`, or a hook, go on. */
  readonly release: () => void
  readonly port: number
  /** A client that reads what it is sent and does nothing with it. */
  connect(): Promise<Socket>
  close(): Promise<void>
}

/** Records what a request of `caller` saw at a place. */
export type See = (caller: Caller, place: Place, seen: string | undefined) => void

export async function openShop(recipe: Recipe, options: FastifyServerOptions, call?: ForeignCall): Promise<Shop> {
  const sightings = new Sightings()
  const see: See = (caller, place, seen) => sightings.see(caller, place, seen)
  const held = Promise.withResolvers<void>()
  const output = { write: (text: string) => seeLine(JSON.parse(text) as Line, see) }
  const app = Fastify({
    ...options,
    forceCloseConnections: true,
    genReqId: callerOf,
    loggerInstance: pino({ mixin: recipe.mixin }, output),
  } as FastifyServerOptions) as unknown as FastifyInstance

  const stopListening = recipe.watchScopes?.(see)
  await recipe.install(app)
  const foreign = new ForeignCaller(call)
  watchHooks(app, recipe, see, foreign)
  foreign.addHook(app, recipe)
  await addRoutes(app, recipe, see, held.promise, foreign)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo

  return {
    app,
    sightings,
    release: held.resolve,
    port,
    async connect() {
      const socket = connect(port, '127.0.0.1').on('error', () => {})
      await once(socket, 'connect')
      return socket.resume()
    },
    async close() {
      await app.close()
      stopListening?.()
    },
  }
}

/** The request says itself whose it is, so that what belongs to it can be distinguished from where it is seen. */
export function callerOf(request: { headers: Record<string, unknown> }): Caller {
  return request.headers['x-request-id'] as Caller
}

interface Line {
  msg: string
  /** Bound by Fastify. */
  reqId?: Caller
  /** By the recipe. */
  request_id?: string
}

const lines: Readonly<Record<string, Place>> = {
  'incoming request': 'log line "incoming request"',
  'request completed': 'log line "request completed"',
}

function seeLine({ msg, reqId, request_id: seen }: Line, see: See): void {
  if (reqId !== undefined) see(reqId, lines[msg] ?? 'other log lines', seen)
}
