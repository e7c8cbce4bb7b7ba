import type { UnitAttributes } from '../context/bridge.ts'
import type { AnyContextVar } from '../context/context-var.ts'
import { LogicalContext } from '../context/logical-context.ts'
import type { Values } from '../context/values.ts'
import { type Checks, checkOptions } from '../options.ts'
import type { Carrier } from '../propagators/carrier.ts'
import type { Refuse } from '../propagators/propagator.ts'
import { aPolicy, cross, type Policy, policyName } from '../tasks/policy.ts'
import { isFieldValue, isToken } from '../variables/header-text.ts'
import { newUuid } from '../variables/ids.ts'
import type { MessageInfo } from '../variables/message.ts'
import { requestId } from '../variables/request-id.ts'
import { type SpanLink, TraceContext, traceContext, traceOf } from '../variables/trace-context.ts'

/** What a job sees of the code that enqueues it: the policies of a task but `share`. */
export type MessagePolicy = Exclude<Policy, 'share'>

/** Text fields of a message, by lower-case name: the same names as on HTTP. */
export type MessageFields = Record<string, string>

/**
 * How many bytes the fields of a message have at most, names included and a signature not: the limit of W3C Baggage,
 * 3.3.2.
 */
const maxBytes = 8192
/** What `baggage` leaves to the trace and the request id, whatever their order: their longest texts have 728 bytes. */
const identityBytes = 768

/** The field with the signature: a JWS in its compact form. */
export const signatureField = 'logical-context-signature'

/** The field with the policy and the time of a message, and with the span that caused an isolated one. */
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

/** What a job gets. The attempts of a job that is not isolated are children of the sender's span. */
export function captured(values: Values, policy: MessagePolicy): LogicalContext {
  const context = identified(new LogicalContext(cross(values, policy)))
  const trace = traceOf(new LogicalContext(values))
  return policy === 'isolate' || trace === undefined ? context : context.with(traceContext, trace)
}

/** Each job has a request id and a place in a trace, from its first attempt on. */
export function identified(context: LogicalContext, newId: () => string = newUuid): LogicalContext {
  const named = context.has(requestId) ? context : context.with(requestId, newId())
  return named.has(traceContext) ? named : named.with(traceContext, new TraceContext())
}

/** What the meta field says. */
interface Meta {
  readonly policy: MessageInfo['policy']
  /** When the message was enqueued, in milliseconds since the epoch. */
  readonly at: number | undefined
  /** The span that caused an isolated message. */
  readonly link: SpanLink | undefined
}

/** The text of the meta field. */
export function metaOf(policy: MessagePolicy, trace: TraceContext | undefined): string {
  const link = trace?.link
  const text = `${policyName(policy)};at=${Date.now()}`
  return link === undefined ? text : `${text};link=${link.traceId}-${link.spanId}`
}

/** Reads a meta field. What is absent or malformed is undefined. */
export function metaFrom(meta: string | undefined): Meta {
  const [, policy, at, traceId = '', spanId = ''] =
    /^(inherit|isolate|only|except)(?:;at=(\d{1,15}))?(?:;link=([\da-f]{32})-([\da-f]{16}))?$/.exec(meta ?? '') ?? []
  return {
    policy: policy as MessageInfo['policy'],
    at: at === undefined ? undefined : Number(at),
    link: spanId === '' ? undefined : { traceId, spanId },
  }
}

/** The span that sent a message, or that caused it. */
export function senderOf(trace: TraceContext | undefined): SpanLink[] {
  if (trace?.parentSpanId !== undefined) return [{ traceId: trace.traceId, spanId: trace.parentSpanId }]
  return trace?.link === undefined ? [] : [trace.link]
}

/** Semantic conventions for messaging spans, 1.38 */
export function spanAttributes(
  operation: 'create' | 'process',
  queue: string,
  system: string | undefined,
): UnitAttributes {
  return {
    'messaging.system': system,
    'messaging.operation.name': operation,
    'messaging.operation.type': operation,
    'messaging.destination.name': queue,
  }
}

/** The same place in a trace, in a new span. */
export function newSpanOf(
  trace: TraceContext = new TraceContext(),
  link: SpanLink | undefined = trace.link,
): TraceContext {
  const { traceId, parentSpanId, flags, sampling, state } = trace
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
    if (this.has(name)) return
    const text = name === 'baggage' ? this.#cut(name, value) : value
    if (text === undefined) return
    const bytes = name === signatureField ? 0 : name.length + text.length
    if (bytes > this.#bytesLeft) return this.#refuse('truncated', name)
    this.#bytesLeft -= bytes
    this.#fields[name] = text
  }

  /** The members of a list that fit: the declared ones come first. Undefined if none fits. */
  #cut(name: string, list: string): string | undefined {
    const longest = Math.min(this.#bytesLeft, maxBytes - identityBytes) - name.length
    if (list.length <= longest) return list
    this.#refuse('truncated', name)
    const end = list.lastIndexOf(',', longest)
    return end > 0 ? list.slice(0, end) : undefined
  }
}
