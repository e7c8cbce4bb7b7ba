import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { AWSXRayPropagator } from '@opentelemetry/propagator-aws-xray'
import { ContextVar } from 'logical-context'
import {
  b3,
  fromTextMapPropagator,
  jaeger,
  type Propagator,
  w3cBaggage,
  w3cTraceContext,
  xRequestId,
} from 'logical-context/propagators'
import { extractFrom } from 'logical-context/testing'
import { Baggage } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import { heapInUse } from '../flow/memory.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const spanId = 'b7ad6b7169203331'
const tenant = new ContextVar<string>('tenant')
const secret = new ContextVar<string>('secret')
const long = 12_000

type Lines = Record<string, string>

/** The bytes per set of headers that `keep` retains with its result. */
async function retained(headersOf: (filler: string) => Lines, keep: (headers: Lines) => unknown): Promise<number> {
  const count = 400
  const kept: unknown[] = []
  const before = await heapInUse()
  for (let i = 0; i < count; i++) {
    const entries = Object.entries(headersOf(`${i}-`.padEnd(long, 'x')))
    // As Node makes them: each header is a text of its own, in one piece.
    const headers = entries.map(([name, text]) => [name, Buffer.from(text).toString('latin1')])
    kept.push(keep(Object.fromEntries(headers) as Lines))
  }
  const after = await heapInUse()
  expect(kept).toHaveLength(count)
  return (after - before) / count
}

describe('a context', () => {
  it.each<[name: string, propagator: Propagator, headersOf: (filler: string) => Record<string, string>]>([
    [
      'a traceparent of a later version with a tail',
      w3cTraceContext(),
      (filler) => ({ traceparent: `01-${traceId}-${spanId}-01-${filler}` }),
    ],
    [
      'a traceparent between spaces',
      w3cTraceContext(),
      () => ({ traceparent: `00-${traceId}-${spanId}-01`.padStart(long).padEnd(2 * long) }),
    ],
    [
      'a long tracestate of which one member is kept',
      w3cTraceContext(),
      (filler) => ({
        traceparent: `00-${traceId}-${spanId}-01`,
        tracestate: `vendor=${traceId},${Array.from({ length: 31 }, (_, i) => `k${i}=${filler.slice(0, 250)}`).join(',')}`,
      }),
    ],
    [
      'a long malformed tracestate',
      w3cTraceContext(),
      (filler) => ({ traceparent: `00-${traceId}-${spanId}-01`, tracestate: filler }),
    ],
    ['B3 between spaces', b3(), () => ({ b3: `${traceId}-${spanId}-1`.padStart(long) })],
    [
      'B3 in several headers, between spaces',
      b3(),
      () => ({ 'x-b3-traceid': traceId.padEnd(long), 'x-b3-spanid': spanId.padEnd(long) }),
    ],
    ['Jaeger between spaces', jaeger(), () => ({ 'uber-trace-id': `${traceId}:${spanId}:0:1`.padEnd(long) })],
    ['a request id between spaces', xRequestId(), () => ({ 'x-request-id': traceId.padStart(long) })],
    [
      "OpenTelemetry's traceparent with a tail",
      fromTextMapPropagator(new W3CTraceContextPropagator()),
      (filler) => ({ traceparent: `01-${traceId}-${spanId}-01-${filler}` }),
    ],
    [
      "OpenTelemetry's X-Ray header with a long field",
      fromTextMapPropagator(new AWSXRayPropagator()),
      (filler) => ({
        'x-amzn-trace-id': `Lineage=${filler};Root=1-${traceId.slice(0, 8)}-${traceId.slice(8)};Parent=${spanId};Sampled=1`,
      }),
    ],
    [
      'a declared member of a long baggage',
      w3cBaggage({ members: { tenant }, others: 'drop' }),
      (filler) => ({ baggage: `secret=${filler.slice(0, 8000)},tenant=${traceId}` }),
    ],
    [
      'a declared member of a baggage with whitespace',
      w3cBaggage({ members: { tenant }, others: 'drop' }),
      (filler) => ({ baggage: `secret = ${filler.slice(0, 8000)} , tenant = ${traceId}` }),
    ],
    [
      'a declared member, and a short list of others',
      w3cBaggage({ members: { tenant, secret } }),
      (filler) => ({ baggage: `region=europe-west-1,secret=${filler.slice(0, 8000)}` }),
    ],
    ['the members before the limit', w3cBaggage(), (filler) => ({ baggage: `region=europe-west-1,secret=${filler}` })],
  ])('does not retain the header of %s', async (_name, propagator, headersOf) => {
    const keep = (headers: Lines) => extractFrom(propagator, headers).context.without(secret)

    expect(await retained(headersOf, keep)).toBeLessThan(2000)
  })

  it('retains the header if it keeps a slice of it: the control', async () => {
    const bytes = await retained(
      (filler) => ({ 'x-own': `${traceId}${filler}` }),
      (headers) => headers['x-own']?.slice(0, 32),
    )

    expect(bytes).toBeGreaterThan(long / 2)
  })
})

describe('Baggage', () => {
  const text = (filler: string) => ({
    baggage: `region=europe-west-1;zone=europe-west-1-a,secret=${filler.slice(0, 8000)}`,
  })

  it.each<[name: string, read: (list: Baggage) => unknown]>([
    ['a value', (list) => list.get('region')],
    ['an entry', (list) => list.getEntry('region')],
    ['a list without a long member', (list) => list.delete('secret')],
    ['a list whose long member was replaced', (list) => list.set('secret', 'none')],
  ])('does not retain its text with %s', async (_name, read) => {
    expect(await retained(text, ({ baggage: header = '' }) => read(Baggage.parse(header)))).toBeLessThan(2000)
  })

  it('does not retain malformed members once it is read', async () => {
    const bytes = await retained(
      (filler) => ({ baggage: `region=europe-west-1,x y=${filler.slice(0, 8000)}` }),
      ({ baggage: header = '' }) => {
        const list = Baggage.parse(header)
        return [list.size, list]
      },
    )

    expect(bytes).toBeLessThan(2000)
  })
})
