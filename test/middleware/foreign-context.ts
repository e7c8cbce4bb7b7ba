import { AsyncResource } from 'node:async_hooks'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { onTestFinished } from 'vitest'

/** Runs a function in a context that is not the current request's: as a shared client calls back. */
export type CallIn = (fn: () => void) => void

export const foreigners = ['another live request', 'no request'] as const
export type Foreigner = (typeof foreigners)[number]

const nowhere = new AsyncResource('nowhere')

/** A route that stays open until the end of the test; its context is the foreign one. Call `enter` when the app listens. */
export class OtherRequest {
  #resource: AsyncResource | undefined
  readonly #end = Promise.withResolvers<void>()
  readonly #kind: Foreigner

  constructor(kind: Foreigner) {
    this.#kind = kind
  }

  /** Declares the route; `set` makes the other request's values. */
  declare(app: FastifyInstance, set: () => void): void {
    app.get('/other', async () => {
      set()
      this.#resource = new AsyncResource('other')
      await this.#end.promise
      return 'other'
    })
  }

  async enter(app: FastifyInstance): Promise<void> {
    const answer = fetch(`${urlOf(app)}/other`).then((response) => response.text())
    onTestFinished(async () => {
      this.#end.resolve()
      await answer
    })
    while (this.#resource === undefined) await new Promise((resolve) => setImmediate(resolve))
  }

  readonly callIn: CallIn = (fn) => {
    const resource = this.#kind === 'no request' ? nowhere : this.#resource
    setImmediate(() => (resource ?? nowhere).runInAsyncScope(fn))
  }

  readonly callInNow: CallIn = (fn) => {
    const resource = this.#kind === 'no request' ? nowhere : this.#resource
    ;(resource ?? nowhere).runInAsyncScope(fn)
  }
}

export function urlOf(app: FastifyInstance): string {
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
}

/** Sends a raw request, waits until `entered` resolves, and disconnects. */
export async function disconnect(app: FastifyInstance, text: string, entered: Promise<unknown>): Promise<void> {
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {})
  await once(socket, 'connect')
  socket.write(text)
  await entered
  socket.destroy()
}
