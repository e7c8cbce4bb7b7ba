// Ways to pass headers from a request to a call.
import assert from 'node:assert/strict'
import type { Work } from '../harness/row.ts'
import { readB3, readBaggage, readTraceparent, readTracestate } from './hand-written.ts'
import { pooledHex } from './pooled-hex.ts'

export type Headers = Record<string, string>
export type Format = 'traceparent' | 'tracestate' | 'baggage' | 'b3'

export const traceId = '0af7651916cd43dd8448eb211c80319c'

/** Reads the headers of a request. Returns the headers of a call, and the tenant of the request. */
export type Hop = (incoming: Headers) => { outgoing: Headers; tenant: string | undefined }

/** The headers of the call equal the request's, except for the span. */
export function workOf(hop: Hop, headers: Headers): Work {
  return {
    op: () => hop(headers),
    check() {
      const { outgoing, tenant } = hop({ ...headers })
      assert.deepEqual(Object.keys(outgoing).toSorted(), Object.keys(headers).toSorted())
      const { traceparent, tracestate, baggage, b3 } = outgoing
      if (headers['traceparent']) assert.match(traceparent ?? '', new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`))
      if (headers['b3']) assert.match(b3 ?? '', new RegExp(`^${traceId}-[0-9a-f]{16}-1`))
      assert.equal(tracestate, headers['tracestate'])
      assert.equal(baggage, headers['baggage'])
      assert.equal(tenant, headers['baggage'] && 'acme')
    },
  }
}

export async function byHand(formats: readonly Format[]): Promise<Hop> {
  return (incoming) => passOn(incoming, formats)
}

function passOn(incoming: Headers, formats: readonly Format[]): ReturnType<Hop> {
  const trace = formats.includes('traceparent') ? readTraceparent(incoming['traceparent']) : readB3(incoming['b3'])
  const state = formats.includes('tracestate') ? readTracestate(incoming['tracestate']) : undefined
  const baggage = formats.includes('baggage') ? readBaggage(incoming['baggage'], 'tenant') : undefined
  const outgoing: Headers = {}
  if (trace !== undefined) {
    const span = newSpanId()
    if (formats.includes('traceparent')) outgoing['traceparent'] = `00-${trace.traceId}-${span}-${trace.flags}`
    if (formats.includes('b3')) outgoing['b3'] = `${trace.traceId}-${span}-1`
  }
  if (state !== undefined) outgoing['tracestate'] = state
  if (baggage !== undefined) outgoing['baggage'] = baggage.text
  return { outgoing, tenant: baggage?.value }
}

const newSpanId = pooledHex(16)

export async function byUs(formats: readonly Format[]): Promise<Hop> {
  const { ContextVar, LogicalContext } = await import('logical-context')
  const { b3, carrierOf, composite, w3cBaggage, w3cTraceContext } = await import('logical-context/propagators')
  const tenant = new ContextVar<string>('tenant')
  const propagator = composite([
    ...(formats.includes('traceparent') ? [w3cTraceContext()] : []),
    ...(formats.includes('b3') ? [b3()] : []),
    ...(formats.includes('baggage') ? [w3cBaggage({ members: { tenant } })] : []),
  ])
  const refuse = (reason: string, field: string) => assert.fail(`${field}: ${reason}`)
  const peer = { trace: 'continue', values: true, refuse } as const
  const destination = { trace: true, values: true, refuse } as const
  return (incoming) => {
    const context = propagator.extract(LogicalContext.empty, carrierOf(incoming), peer)
    const outgoing: Headers = {}
    propagator.inject(context, carrierOf(outgoing), destination)
    return { outgoing, tenant: context.get(tenant) }
  }
}

export async function byOpenTelemetry(formats: readonly Format[]): Promise<Hop> {
  const {
    defaultTextMapGetter,
    defaultTextMapSetter,
    propagation: api,
    ROOT_CONTEXT,
  } = await import('@opentelemetry/api')
  const { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } = await import('@opentelemetry/core')
  const { B3Propagator } = await import('@opentelemetry/propagator-b3')
  const propagator = new CompositePropagator({
    // The last propagator that finds a span wins, and B3 has no tracestate.
    propagators: [
      ...(formats.includes('b3') ? [new B3Propagator()] : []),
      ...(formats.includes('traceparent') ? [new W3CTraceContextPropagator()] : []),
      ...(formats.includes('baggage') ? [new W3CBaggagePropagator()] : []),
    ],
  })
  return (incoming) => {
    const context = propagator.extract(ROOT_CONTEXT, incoming, defaultTextMapGetter)
    const outgoing: Headers = {}
    propagator.inject(context, outgoing, defaultTextMapSetter)
    return { outgoing, tenant: api.getBaggage(context)?.getEntry('tenant')?.value }
  }
}

export async function byTctx(): Promise<Hop> {
  const parents = await import('tctx/traceparent')
  const states = await import('tctx/tracestate')
  return ({ traceparent, tracestate }) => {
    const parent = parents.parse(traceparent ?? '')
    const outgoing: Headers = {}
    if (parent !== null) outgoing['traceparent'] = String(parent.child())
    if (tracestate !== undefined) outgoing['tracestate'] = String(states.parse(tracestate))
    return { outgoing, tenant: undefined }
  }
}
