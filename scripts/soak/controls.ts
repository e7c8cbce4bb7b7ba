import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { Carrier } from './carrier.ts'
import type { Facts } from './facts.ts'

/** What has no units: who writes last has written for everybody. */
const withoutUnits = {
  register: async () => {},
  open: (work) => work(),
  spawn: (work) => work(),
  isolate: (generate) => generate,
} satisfies Partial<Carrier>

/** Carries what requests know in a variable of the module. */
export function globalVariable(): Carrier {
  let facts: Facts = {}
  return {
    ...withoutUnits,
    read: () => facts,
    write: (more) => {
      facts = { ...facts, ...more }
    },
    bind: (callback) => callback,
  }
}

/** Carries it in an `AsyncLocalStorage` that is entered where something is set, as `enterWith` invites one to. */
export function enterWith(): Carrier {
  const storage = new AsyncLocalStorage<Facts>()
  return {
    ...withoutUnits,
    read: () => storage.getStore() ?? {},
    write: (more) => storage.enterWith({ ...storage.getStore(), ...more }),
    bind: (callback) => AsyncResource.bind(callback),
  }
}
