import type { Context, TextMapGetter, TextMapPropagator, TextMapSetter } from '@opentelemetry/api'
import * as api from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { AWSXRayPropagator } from '@opentelemetry/propagator-aws-xray'
import { B3InjectEncoding, B3Propagator } from '@opentelemetry/propagator-b3'
import { JaegerPropagator } from '@opentelemetry/propagator-jaeger'
import { LogicalContext } from 'logical-context'
import {
  b3,
  carrierOf,
  fromTextMapPropagator,
  jaeger,
  type OtelContextLike,
  type Peer,
  type Propagator,
  type TextMapGetterLike,
  type TextMapPropagatorLike,
  type TextMapSetterLike,
  toTextMapPropagator,
  w3cTraceContext,
} from 'logical-context/propagators'
import { TraceContext, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'

/** Compiles only where a value of the first type may stand for one of the second. */
type Fits<Given extends Wanted, Wanted> = [Given, Wanted]

/** What we wrote down of OpenTelemetry's types, against these types themselves: `npm run types` fails when they drift. */
export type Drift = [
  Fits<TextMapPropagator, TextMapPropagatorLike>,
  Fits<TextMapPropagatorLike, TextMapPropagator>,
  Fits<Context, OtelContextLike>,
  Fits<OtelContextLike, Context>,
  Fits<TextMapGetter, TextMapGetterLike>,
  Fits<TextMapGetterLike, TextMapGetter<unknown>>,
  Fits<TextMapSetter, TextMapSetterLike>,
  Fits<TextMapSetterLike, TextMapSetter<unknown>>,
]

const ids = { traceId: '5759e988bd862e3fe1be46a994272793', spanId: '53995c3f42cd8ad8' }
const peer: Peer = { trace: 'continue', values: false, refuse() {} }
const destination = { trace: true, values: false, refuse() {} } as const

function extract(propagator: Propagator, headers: Record<string, string>): TraceContext | undefined {
  return propagator.extract(LogicalContext.empty, carrierOf(headers), peer).get(traceContext)
}

function inject(propagator: Propagator, trace: TraceContext): Record<string, string> {
  const headers: Record<string, string> = {}
  propagator.inject(LogicalContext.empty.with(traceContext, trace), carrierOf(headers), destination)
  return headers
}

const formats: [name: string, propagator: TextMapPropagator, headers: Record<string, string>][] = [
  [
    'AWS X-Ray',
    new AWSXRayPropagator(),
    { 'x-amzn-trace-id': 'Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1' },
  ],
  ['B3 in one header', new B3Propagator(), { b3: `${ids.traceId}-${ids.spanId}-1` }],
  [
    'B3 in several headers',
    new B3Propagator({ injectEncoding: B3InjectEncoding.MULTI_HEADER }),
    { 'x-b3-traceid': ids.traceId, 'x-b3-spanid': ids.spanId, 'x-b3-sampled': '1' },
  ],
  ['Jaeger', new JaegerPropagator(), { 'uber-trace-id': `${ids.traceId}:${ids.spanId}:0:01` }],
  ['W3C', new W3CTraceContextPropagator(), { traceparent: `00-${ids.traceId}-${ids.spanId}-01` }],
]

describe.each(formats)("fromTextMapPropagator, OpenTelemetry's own %s", (_name, propagator, headers) => {
  const ours = fromTextMapPropagator(propagator)

  it('continues a trace', () => {
    expect(extract(ours, headers)).toMatchObject({ traceId: ids.traceId, parentSpanId: ids.spanId, sampled: true })
  })

  it('writes the trace as it came', () => {
    expect(inject(ours, new TraceContext({ ...ids, flags: 1 }))).toEqual(headers)
  })

  it('begins a trace where there is none', () => {
    expect(extract(ours, {})).toMatchObject({ parentSpanId: undefined })
  })
})

describe('toTextMapPropagator with the real API', () => {
  it('stores our context under the key that createContextKey returns', () => {
    const found = toTextMapPropagator(w3cTraceContext()).extract(api.ROOT_CONTEXT, {}, api.defaultTextMapGetter)

    expect(found.getValue(api.createContextKey('logical-context'))).toBeInstanceOf(LogicalContext)
  })

  it.each<[name: string, ours: Propagator, theirs: TextMapPropagator]>([
    ['W3C', w3cTraceContext(), new W3CTraceContextPropagator()],
    ['B3', b3(), new B3Propagator()],
    ['Jaeger', jaeger(), new JaegerPropagator()],
  ])('writes %s as OpenTelemetry does, and reads what it writes', (_name, ours, theirs) => {
    const propagator = toTextMapPropagator(ours)
    const context = api.trace.setSpanContext(api.ROOT_CONTEXT, { ...ids, traceFlags: 1 })
    const [mine, other]: Record<string, string>[] = [{}, {}]

    propagator.inject(context, mine, api.defaultTextMapSetter)
    theirs.inject(context, other, api.defaultTextMapSetter)
    const found = propagator.extract(api.ROOT_CONTEXT, other, api.defaultTextMapGetter)

    expect(mine).toEqual(other)
    expect(api.trace.getSpanContext(found)).toMatchObject({ ...ids, traceFlags: 1, isRemote: true })
  })
})
