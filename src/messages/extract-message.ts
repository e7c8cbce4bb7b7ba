import { createHash } from 'node:crypto'
import { LogicalContext } from '../context/logical-context.ts'
import { carrierOf } from '../propagators/carrier.ts'
import type { ExtractOptions, Peer, Propagator, Refuse } from '../propagators/propagator.ts'
import { generateRequestId } from '../propagators/x-request-id.ts'
import { message as messageVariable } from '../variables/message.ts'
import { randomFlag, type SpanLink, TraceContext, traceContext } from '../variables/trace-context.ts'
import { identified, metaField, metaFrom, newSpanOf } from './message-fields.ts'
import type { ReceivedMessage } from './received-message.ts'

/** The context of an attempt, and when its message was enqueued. */
export interface Extracted {
  readonly context: LogicalContext
  readonly at: number | undefined
}

/** The context of an attempt: that of its sender, as far as it is used, and the message. */
export function extractMessage(
  { queue, name = queue, id, attempt = 1, uniqueId, fields = {} }: ReceivedMessage,
  propagator: Propagator,
  trusted: boolean,
  refuse: Refuse,
): Extracted {
  const carrier = carrierOf(fields)
  // The meta field belongs to a propagator that signs it, if there is one: whatever the peer is, its signature decides.
  let usesMeta = trusted && !propagator.fields.includes(metaField)
  const verified = () => {
    usesMeta = true
  }
  const peer: Peer = { trace: trusted ? 'continue' : 'restart', values: trusted, refuse, verified }
  const extracted =
    uniqueId === undefined
      ? identified(propagator.extract(LogicalContext.empty, carrier, peer))
      : extractWithOwnIds(uniqueId, (begun, options) => propagator.extract(begun, carrier, peer, options))
  const { policy, link, at } = metaFrom(usesMeta ? carrier.get(metaField) : undefined)
  const placed =
    link === undefined ? extracted : extracted.with(traceContext, newSpanOf(extracted.get(traceContext), link))
  return { context: placed.with(messageVariable, { queue, name, id, attempt, policy }), at }
}

/** What the sender has not sent is the same in each attempt: the request id and the id of a trace that begins here. */
function extractWithOwnIds(
  uniqueId: string,
  extract: (context: LogicalContext, options: ExtractOptions) => LogicalContext,
): LogicalContext {
  // An import of `hash` does not link before Node 20.12, where the error has to be that of `checkNode`.
  const digest = createHash('sha256').update(uniqueId).digest('hex')
  // A UUID of version 8. RFC 9562, 5.8
  const newId = () =>
    `${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-8${digest.slice(17, 20)}-${digest.slice(20, 32)}`
  const newRequestId: ExtractOptions['newRequestId'] = (own) =>
    own === undefined ? newId() : generateRequestId(own, { headers: {} })
  const begin = (link?: SpanLink) =>
    new TraceContext({ traceId: digest.slice(32), flags: randomFlag, sampling: 'defer', link })

  const context = extract(LogicalContext.empty.with(traceContext, begin()), { newRequestId })
  const named = identified(context, newId)
  const trace = named.get(traceContext)
  // A restart has begun a trace that links to the sender's.
  const isRestart = trace?.link !== undefined && trace.parentSpanId === undefined
  return isRestart ? named.with(traceContext, begin(trace.link)) : named
}
