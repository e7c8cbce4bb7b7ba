import type { FastifyInstance } from 'fastify'
import { bind, ContextVar, isolateGenerator, type Policy, runInScope, spawn } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { xRequestId, w3cBaggage, w3cTraceContext } from 'logical-context/propagators'
import { factNames, type Facts, oneMoreHop, type PolicyName } from './facts.ts'

type Generators = Generator<Facts, void> | AsyncGenerator<Facts, void>

/** A way to carry the values of a request: this library, or a way that is known to be wrong. */
export interface Carrier {
  /** Opens a unit for each request. Called before the routes are registered. */
  register(app: FastifyInstance): Promise<void>
  /** Runs work without a request in its own unit. */
  open(work: () => Promise<void>): Promise<void>
  read(): Facts
  /** Sets the given values and keeps the others. */
  write(facts: Facts): void
  spawn(work: () => Promise<void>, policy: PolicyName): Promise<void>
  /** Runs work in a block with its own step. */
  block(step: string, work: () => Promise<void>): Promise<void>
  bind(callback: () => void): () => void
  isolate<G extends Generators>(generate: () => G): () => G
}

const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
const user = new ContextVar<string>('user')
const variables = {
  tenant,
  user,
  basket: new ContextVar<string>('basket'),
  payment: new ContextVar<string>('payment', { onSpawn: 'drop', sensitive: true }),
  hops: new ContextVar<string>('hops', { onSpawn: oneMoreHop }),
  step: new ContextVar<string>('step'),
}

export const propagators = [w3cTraceContext(), w3cBaggage({ members: { tenant, user } }), xRequestId()]

const policyOf = (name: PolicyName): Policy => (name === 'only' ? { only: [variables.basket] } : name)

/** The carrier that must be right. */
export const library: Carrier = {
  async register(app) {
    // A task waits for its children, so it must not take their slots.
    await app.register(logicalContext, { propagators, limits: { maxConcurrent: 100_000 }, drainTimeoutMs: 10_000 })
  },
  open: (work) => runInScope(work),
  read() {
    const facts: Record<string, string | undefined> = {}
    for (const name of factNames) facts[name] = variables[name].get()
    return facts
  },
  write(facts) {
    for (const name of factNames) {
      const value = facts[name]
      if (value !== undefined) variables[name].set(value)
    }
  },
  spawn: (work, policy) => spawn(work, { policy: policyOf(policy) }).result(),
  block: (step, work) => variables.step.run(step, work),
  bind,
  isolate: isolateGenerator,
}
