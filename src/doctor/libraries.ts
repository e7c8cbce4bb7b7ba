import { type Remedy, remedies } from './remedies.ts'

/** A package whose callbacks can run in another context than the one in which they were passed. */
export interface KnownLibrary {
  /** The name of the package. */
  readonly name: string
  readonly remedy: Remedy
  /** What to do with this package; it replaces the general advice. */
  readonly advice: string
  /**
   * Methods that take a callback, by the name of their class. The class is an `EventEmitter`, or one of its subclasses.
   * The doctor observes these callbacks.
   */
  readonly callbacks?: Readonly<Record<string, readonly string[]>>
}

/** Tested against the real packages in `test/doctor/libraries.test.ts`. */
export const knownLibraries: readonly KnownLibrary[] = [
  {
    name: 'pg',
    remedy: remedies.bind,
    advice: 'Await the promise of query() instead of a callback, or pass bind(callback).',
    callbacks: { Client: ['query', 'connect'], Pool: ['query', 'connect'] },
  },
  {
    name: 'pg-pool',
    remedy: remedies.bind,
    advice: 'Await the promise of query() instead of a callback, or pass bind(callback).',
  },
  {
    name: 'knex',
    remedy: remedies.bind,
    advice: "Events such as 'query' run in the request that queries: pass bind(listener), or read no values there.",
  },
  {
    name: 'ioredis',
    remedy: remedies.bind,
    advice:
      "Listeners of 'message' run where the connection was made: pass bind(listener), or open a unit for each message.",
  },
  {
    name: '@redis/client',
    remedy: remedies.bind,
    advice:
      'A listener of subscribe() runs where the connection was made: pass bind(listener), or open a unit for each message.',
    callbacks: { RedisClient: ['SUBSCRIBE', 'PSUBSCRIBE', 'SSUBSCRIBE'] },
  },
  {
    name: 'ws',
    remedy: remedies.bindEmitter,
    advice:
      'Events of a socket run outside its request: call bindEmitter(socket) in the handler, before listeners are added.',
  },
  {
    name: 'express-session',
    remedy: remedies.bind,
    advice:
      'A store can call back in another context: register the middleware of the context after the session, or bind the callback.',
    callbacks: { Store: ['get', 'set', 'destroy', 'touch'] },
  },
  {
    name: 'passport',
    remedy: remedies.bind,
    advice: 'Call the done() of a strategy in the context of its request: pass bind(done) to code that calls back.',
  },
  {
    name: 'fastify',
    remedy: remedies.registerEarlier,
    advice: remedies.registerEarlier.advice,
  },
]

export function knownLibrary(name: string | undefined): KnownLibrary | undefined {
  return knownLibraries.find((library) => library.name === name)
}
