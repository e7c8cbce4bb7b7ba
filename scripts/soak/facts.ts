import type { Policy } from 'logical-context'

/**
 * What a unit of work knows here. Each value begins with the id of the request that it belongs to, so that one in the
 * wrong place says whose it is.
 */
export interface Facts {
  /** Survives every policy. */
  readonly tenant?: string | undefined
  readonly user?: string | undefined
  /** The one that `{ only }` names. */
  readonly basket?: string | undefined
  /** Crosses no spawn. */
  readonly payment?: string | undefined
  /** Derived at each spawn. */
  readonly hops?: string | undefined
  /** Written by each task for itself. */
  readonly step?: string | undefined
}

export const factNames = ['tenant', 'user', 'basket', 'payment', 'hops', 'step'] as const

export type PolicyName = Extract<Policy, string> | 'only'

export const policyNames: readonly PolicyName[] = ['inherit', 'isolate', 'share', 'only']

/** Who sends a request: somebody, somebody of whom nothing is known that has a rule of its own, or nobody. */
export type Sender = 'known' | 'plain' | 'nobody'

/** What a request of a sender knows. */
export function factsOf(owner: string, sender: Sender): Facts {
  if (sender === 'nobody') return {}
  const own = (name: string) => `${owner}/${name}`
  const plain = { user: own('u'), basket: own('b'), step: own('s') }
  return sender === 'plain' ? plain : { ...plain, tenant: own('t'), payment: own('p'), hops: own('h') }
}

/** One more spawn, in what `hops` says. */
export const oneMoreHop = (hops: string): string => `${hops}+`

/** What a task has to see under a policy: the rules 2 to 5 of `docs/concepts.md`, and those of the variables. */
export function acrossSpawn(facts: Facts, policy: PolicyName): Facts {
  if (policy === 'share') return facts
  const { tenant, user, basket, step } = facts
  const hops = facts.hops && oneMoreHop(facts.hops)
  if (policy === 'inherit') return { tenant, user, basket, hops, step }
  return policy === 'only' ? { tenant, basket, hops } : { tenant, hops }
}
