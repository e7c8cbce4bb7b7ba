import type { LookupFunction } from 'node:net'
import { Agent, fetch as undiciFetch } from 'undici'
import { onTestFinished } from 'vitest'
import type { Fetch } from 'logical-context/clients/fetch'

/** Resolves every name to loopback. */
export const lookup: LookupFunction = (_name, options, callback) => {
  if (options.all === true) callback(null, [{ address: '127.0.0.1', family: 4 }])
  else callback(null, '127.0.0.1', 4)
}

/** An agent of undici that closes with the test and resolves every name to loopback. */
export function loopbackAgent(options: Agent.Options = {}): Agent {
  const agent = new Agent({ connect: { lookup }, ...options })
  onTestFinished(() => agent.destroy())
  return agent
}

/** A `fetch` that resolves every name to loopback. */
export function loopbackFetch(dispatcher = loopbackAgent()): Fetch {
  return (input, init) => undiciFetch(input, { ...init, dispatcher })
}
