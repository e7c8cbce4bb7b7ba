import type { Policy } from 'logical-context'

/**
 * The values of a unit. Each value begins with the id of its request, so that a value in the wrong place names its
 * request.
 */
export interface Facts {
  /** Survives every policy. */
  readonly tenant?: string | undefined
  readonly user?: string | undefined
  /** The variable that `{ only }` lists. */
  readonly basket?: string | undefined
  /** Crosses no spawn. */
  readonly payment?: string | undefined
  /** Derived at each spawn. */
  readonly hops?: string | undefined
  /** Written by each task and block. */
  readonly step?: string | undefined
}

export const factNames = ['tenant', 'user', 'basket', 'payment', 'hops', 'step'] as const

export type PolicyName = Extract<Policy, string> | 'only'

export const policyNames: readonly PolicyName[] = ['inherit', 'isolate', 'share', 'only']

/** The values that a request has: all, only those of variables without their own rule, or none. */
export type Sender = 'known' | 'plain' | 'anonymous'

/** The values of a request from a sender. */
export function factsOf(owner: string, sender: Sender): Facts {
  if (sender === 'anonymous') return {}
  const own = (name: string) => `${owner}/${name}`
  const plain = { user: own('u'), basket: own('b'), step: own('s') }
  return sender === 'plain' ? plain : { ...plain, tenant: own('t'), payment: own('p'), hops: own('h') }
}

/** The value of `hops` after one more spawn. */
export const oneMoreHop = (hops: string): string => `${hops}+`

/** The values of a task under a policy: rules 2 to 5 of `docs/concepts.md`, and the rules of the variables. */
export function acrossSpawn(facts: Facts, policy: PolicyName): Facts {
  if (policy === 'share') return facts
  const { tenant, user, basket, step } = facts
  const hops = facts.hops && oneMoreHop(facts.hops)
  if (policy === 'inherit') return { tenant, user, basket, hops, step }
  return policy === 'only' ? { tenant, basket, hops } : { tenant, hops }
}
