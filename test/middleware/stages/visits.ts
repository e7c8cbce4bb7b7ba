import { AsyncResource } from 'node:async_hooks'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { ContextVar, spawn } from 'logical-context'
import { requestId } from 'logical-context/variables'
import { type Caller, type Sighting, Sightings } from '../matrix/sightings.ts'

const user = new ContextVar<string>('user')

/** The paths that have a route. */
export const paths: readonly string[] = [
  '/ok',
  '/throws',
  '/rejects',
  '/body',
  '/waits',
  '/stream',
  '/stream-fails',
  '/endless',
  '/elsewhere',
  '/parked',
  '/large',
  '/spawns',
  '/tells',
]

/** More than the buffers on both sides of a connection hold. */
export const large: string = 'x'.repeat(16 * 1024 * 1024)
/** A value that a peer can send. */
export const tenant = new ContextVar<string>('tenant')

/** The program of a server under test: what it does for each path, and what it sees in each stage. */
export class Visits {
  #sightings = new Sightings<string>()
  #gate = Promise.withResolvers<void>()
  #parked: AsyncResource | undefined

  /** The ids of the framework's own option, and those of the units. */
  readonly ids: [own: unknown, units: string | undefined][] = []
  /** What ended, in its order. */
  readonly ended: string[] = []

  /** Forgets what was seen. */
  restart(): void {
    this.#sightings = new Sightings()
    this.#gate = Promise.withResolvers()
  }

  /** For the first code of the program in a request. */
  begin(request: IncomingMessage, response: ServerResponse): void {
    user.set(callerOf(request))
    if (request.url === '/parked') this.#parked = new AsyncResource('parked')
    const see = (stage: string) => () => this.look(stage, request)
    request.on('end', see('request ends'))
    response.on('finish', see('response finishes')).on('close', see('response closes'))
  }

  look(stage: string, request: IncomingMessage): void {
    this.#sightings.see(callerOf(request), stage, user.get())
  }

  /** For a stage in which the framework has an id of its own. */
  lookAtId(own: unknown): void {
    this.ids.push([own, requestId.get()])
  }

  /** Continues a request: for one of its paths in the context of the parked one. */
  next(request: IncomingMessage, fn: () => void): void {
    if (request.url !== '/elsewhere') return fn()
    setImmediate(() => this.#parked?.runInAsyncScope(fn))
  }

  /** The handler of all paths: returns a text or a stream, or throws, or a promise. */
  answer(request: IncomingMessage): unknown {
    this.look('handler', request)
    if (request.url === '/throws') throw new Error('planted')
    if (request.url === '/stream') return Readable.from(this.#parts(request, 3))
    if (request.url === '/endless') return Readable.from(this.#parts(request, Infinity))
    if (request.url === '/stream-fails') return Readable.from(this.#parts(request, -1))
    return this.#later(request)
  }

  async #later(request: IncomingMessage): Promise<string> {
    await turn()
    if (request.url === '/body') await request.forEach(() => {}).catch(() => {})
    if (request.url === '/waits' || request.url === '/parked') await this.#gate.promise
    this.look('handler, after await', request)
    if (request.url === '/rejects') throw new Error('planted')
    if (request.url === '/large') return large
    if (request.url === '/tells') return `${tenant.get()} ${requestId.get()}`
    if (request.url === '/spawns') spawn(() => this.#gate.promise.then(() => this.ended.push('task')))
    return 'ok'
  }

  async *#parts(request: IncomingMessage, count: number): AsyncGenerator<string> {
    try {
      for (let part = 0; part < Math.abs(count); part++) {
        await turn()
        this.look('stream', request)
        yield 'x'.repeat(16_384)
      }
      if (count < 0) throw new Error('planted')
    } finally {
      this.look('stream ends', request)
    }
  }

  /** Lets the requests continue that wait. */
  open(): void {
    this.#gate.resolve()
  }

  reached(stage: string, caller: Caller = 'ann'): Promise<void> {
    return this.#sightings.reached(stage, caller)
  }

  /** What was seen of the request that is looked at. */
  get seen(): Partial<Record<string, Sighting>> {
    return this.#sightings.of('ann')
  }
}

function callerOf({ headers }: IncomingMessage): Caller {
  return headers['x-user'] as Caller
}
