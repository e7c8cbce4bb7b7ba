import type { AnyContextVar } from '../context/context-var.ts'
import type { LogicalContext } from '../context/logical-context.ts'
import { type Checks, checkOptions } from '../options.ts'
import type { Carrier } from '../propagators/carrier.ts'
import type { Refuse } from '../propagators/propagator.ts'
import { aPolicy, type Policy, policyName } from '../tasks/policy.ts'
import { isFieldValue, isToken } from '../variables/header-text.ts'
import { newUuid } from '../variables/ids.ts'
import type { MessageInfo } from '../variables/message.ts'
import { requestId } from '../variables/request-id.ts'
import { type SpanLink, TraceContext, traceContext } from '../variables/trace-context.ts'

/** What a job sees of the code that enqueues it: the policies of a task but `share`. */
export type MessagePolicy = Exclude<Policy, 'share'>

/** Text fields of a message, by lower-case name: the same names as on HTTP. */
export type MessageFields = Record<string, string>

/** How many bytes the fields of a message have at most, names included: the limit of W3C Baggage, 3.3.2. */
const maxBytes = 8192

/** The field with a message's policy, and with the span that caused an isolated message. */
export const metaField = 'logical-context'

export interface PolicyOption {
  /** Default: the policy of `Messages`, or of the unit that enqueues, else `inherit`. */
  policy?: MessagePolicy
}

export const policyChecks: Checks = { policy: aPolicy }

/** @throws {TypeError} if the policy is not one, is `share`, or names a variable that is not declared to travel. */
export function checkedPolicy(owner: string, policy: Policy, declared: ReadonlySet<AnyContextVar>): MessagePolicy {
  checkOptions(owner, { policy }, policyChecks)
  if (policy === 'share') {
    throw new TypeError(
      `${owner}: expected a policy other than 'share'. A job runs in another process and cannot share values: ` +
        "use 'inherit', 'isolate' or { only: [variables] }.",
    )
  }
  for (const variable of typeof policy !== 'string' && policyName(policy) === 'only' ? (policy.only ?? []) : []) {
    if (declared.has(variable)) continue
    throw new TypeError(
      `${owner}: expected variables that a propagator carries in 'only', got '${variable.name}'. ` +
        'Declare it, for example with w3cBaggage({ members }).',
    )
  }
  return policy
}

/** Each job has a request id and a place in a trace, from its first attempt on. */
export function identified(context: LogicalContext): LogicalContext {
  const named = context.has(requestId) ? context : context.with(requestId, newUuid())
  return named.has(traceContext) ? named : named.with(traceContext, new TraceContext())
}

/** The text of the meta field. */
export function metaOf(policy: MessagePolicy, trace: TraceContext | undefined): string {
  const link = trace?.link
  return link === undefined ? policyName(policy) : `${policyName(policy)};link=${link.traceId}-${link.spanId}`
}

/** The policy and the link in a meta field; undefined if they are absent or malformed. */
export function metaFrom(meta: string | undefined): Pick<MessageInfo, 'policy'> & { link: SpanLink | undefined } {
  const [, policy, traceId = '', spanId = ''] =
    /^(inherit|isolate|only|except)(?:;link=([\da-f]{32})-([\da-f]{16}))?$/.exec(meta ?? '') ?? []
  return { policy: policy as MessageInfo['policy'], link: spanId === '' ? undefined : { traceId, spanId } }
}

/** The same place in a trace, with a link. */
export function linked(trace: TraceContext | undefined, link: SpanLink): TraceContext {
  const { traceId, parentSpanId, flags, sampling, state } = trace ?? new TraceContext()
  return new TraceContext({ traceId, parentSpanId, flags, sampling, state, link })
}

/** Writes fields as long as they fit into the budget. */
export class LimitedCarrier implements Carrier {
  readonly #fields: MessageFields
  readonly #refuse: Refuse
  #bytesLeft = maxBytes

  constructor(fields: MessageFields, refuse: Refuse) {
    this.#fields = fields
    this.#refuse = refuse
  }

  get(name: string): string | undefined {
    return Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#fields, name)
  }

  set(name: string, value: string): void {
    if (!isToken(name) || !isFieldValue(value)) return this.#refuse('malformed', name)
    const bytes = name.length + value.length
    if (bytes > this.#bytesLeft) return this.#refuse('truncated', name)
    if (this.has(name)) return
    this.#bytesLeft -= bytes
    this.#fields[name] = value
  }
}
