import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { type Carrier, library } from './carrier.ts'
import type { Facts } from './facts.ts'

/** A carrier without units: a write reaches every request. */
const withoutUnits = {
  register: async () => {},
  open: (work) => work(),
  spawn: (work) => work(),
  isolate: (generate) => generate,
} satisfies Partial<Carrier>

/** The library with a block that is never left: its step is written into the unit. */
export const blockNeverLeft: Carrier = {
  ...library,
  block(step, work) {
    library.write({ step })
    return work()
  },
}

/** Carries the values of requests in a variable of the module. */
export function globalVariable(): Carrier {
  let facts: Facts = {}
  return {
    ...withoutUnits,
    read: () => facts,
    write: (more) => {
      facts = { ...facts, ...more }
    },
    block(step, work) {
      facts = { ...facts, step }
      return work()
    },
    bind: (callback) => callback,
  }
}

/** Carries them in an `AsyncLocalStorage` that each write enters, as users of `enterWith` do. */
export function enterWith(): Carrier {
  const storage = new AsyncLocalStorage<Facts>()
  return {
    ...withoutUnits,
    read: () => storage.getStore() ?? {},
    write: (more) => storage.enterWith({ ...storage.getStore(), ...more }),
    block: (step, work) => storage.run({ ...storage.getStore(), step }, work),
    bind: (callback) => AsyncResource.bind(callback),
  }
}
