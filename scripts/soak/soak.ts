import { outside } from 'logical-context'
import { type Calls, callsByChannel, callsByHand, callsByInterceptor, connections } from './calls.ts'
import { type Carrier, library } from './carrier.ts'
import { blockNeverLeft, enterWith, globalVariable } from './controls.ts'
import { factsOf } from './facts.ts'
import { type Counts, Ledger } from './ledger.ts'
import { load, type LoadOptions } from './load.ts'
import { server } from './server.ts'
import { Work } from './work.ts'

/** The results of one soak. */
export interface Soaked extends Counts {
  sockets: number
  seconds: number
  /** Descriptions of the first problems. */
  samples: readonly string[]
}

/** Serves requests over real sockets and checks at every step that a request sees its own values. */
async function soak(carrier: Carrier, calls: Calls, options: LoadOptions): Promise<Soaked> {
  const startedAt = performance.now()
  const ledger = new Ledger()
  const app = await server(carrier, new Work(carrier, calls, ledger))
  let sockets = 0
  app.server.on('connection', () => sockets++)
  await load(await app.listen({ host: '127.0.0.1', port: 0 }), ledger, options)
  await app.close()
  await ledger.allTasksEnded(10_000)
  await calls.close()
  const seconds = (performance.now() - startedAt) / 1000
  return { ...ledger.counts, sockets, seconds, samples: ledger.samples }
}

export async function soakLibrary(options: LoadOptions): Promise<Soaked> {
  return soak(library, await callsByInterceptor(), options)
}

/** Wrong carriers. The same work with the same checks must find that values cross. */
export const controls: Readonly<Record<string, (options: LoadOptions) => Promise<Soaked>>> = {
  async 'a global variable'(options) {
    const carrier = globalVariable()
    return soak(carrier, await callsByHand(carrier), options)
  },
  async enterWith(options) {
    const carrier = enterWith()
    return soak(carrier, await callsByHand(carrier), options)
  },
  async 'block never left'(options) {
    return soak(blockNeverLeft, await callsByInterceptor(), options)
  },
  async 'channel injection'(options) {
    const calls = await callsByChannel()
    const ended = Promise.withResolvers<Soaked>()
    // A unit that stays open opens the connections: an ended unit has no values.
    await library.open(async () => {
      library.write(factsOf('long', 'known'))
      await Promise.all(Array.from({ length: connections }, () => calls.call()))
      outside(() => soak(library, calls, options)).then(ended.resolve, ended.reject)
      await ended.promise
    })
    return ended.promise
  },
}
