import {
  baggageHeaderToDynamicSamplingContext,
  dynamicSamplingContextToSentryBaggageHeader,
  generateSentryTraceHeader,
  propagationContextFromHeaders,
} from '@sentry/core'
import { ContextVar, current, LogicalContext, runInScope, spawn } from 'logical-context'
import { composite, type Peer, type Propagator, sentry, w3cBaggage, w3cTraceContext } from 'logical-context/propagators'
import { extractFrom, injectInto } from 'logical-context/testing'
import { type Baggage, baggage, type Sampling, TraceContext, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'

const traceId = '771a43a4192642f0b136d5159a501700'
const spanId = '1000000000000001'

describe('sentry, extracting', () => {
  it.each<[name: string, header: string, sampling: Sampling]>([
    ['sampled', `${traceId}-${spanId}-1`, 'accept'],
    ['not sampled', `${traceId}-${spanId}-0`, 'deny'],
    ['without a decision', `${traceId}-${spanId}`, 'defer'],
    ['with an empty decision', `${traceId}-${spanId}-`, 'defer'],
    ['with blanks around it', ` ${traceId}-${spanId}-1\t`, 'accept'],
  ])('reads a header %s, as Sentry does', (_name, header, sampling) => {
    const { context, refusals } = extractFrom(sentry(), { 'Sentry-Trace': header })
    const theirs = propagationContextFromHeaders(header, undefined)

    expect(context.get(traceContext)).toMatchObject({ traceId, parentSpanId: spanId, sampling })
    expect(theirs).toMatchObject({ traceId, parentSpanId: spanId })
    expect(theirs.sampled).toBe({ accept: true, deny: false, defer: undefined, debug: true }[sampling])
    expect(refusals).toEqual([])
  })

  it.each<[name: string, header: string]>([
    ['nothing', ''],
    ['a trace id alone', traceId],
    ['another separator', `${traceId}:${spanId}-1`],
    ['another decision', `${traceId}-${spanId}-2`],
    ['a decision of two digits', `${traceId}-${spanId}-11`],
    ['a short trace id', `${traceId.slice(1)}-${spanId}-1`],
    ['a short span id', `${traceId}-${spanId.slice(1)}-1`],
    ['a trace id of zeros', `${'0'.repeat(32)}-${spanId}-1`],
    ['a span id of zeros', `${traceId}-${'0'.repeat(16)}-1`],
    ['ids in upper case', `${traceId.toUpperCase()}-${spanId}-1`],
    ['a line end at the end', `${traceId}-${spanId}-1\n`],
    ['a megabyte of dashes', '-'.repeat(1_000_000)],
  ])('begins a trace for %s', (_name, header) => {
    const { context, refusals } = extractFrom(sentry(), { 'sentry-trace': header })

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, sampling: 'defer' })
    expect(refusals).toEqual(['malformed sentry-trace'])
  })
})

describe('sentry, injecting', () => {
  it.each<[sampling: Sampling, sampled: boolean | undefined]>([
    ['accept', true],
    ['debug', true],
    ['deny', false],
  ])('writes the decision %s as Sentry does', (sampling, sampled) => {
    const trace = new TraceContext({ traceId, spanId, sampling })

    const { headers } = injectInto(sentry(), LogicalContext.empty.with(traceContext, trace))

    expect(headers).toEqual({ 'sentry-trace': generateSentryTraceHeader(traceId, spanId, sampled) })
  })

  it('writes an undecided trace by the option', () => {
    const context = LogicalContext.empty.with(traceContext, new TraceContext())
    const decisionOf = (options?: { undecided: 'accept' | 'deny' | 'defer' }) =>
      propagationContextFromHeaders(injectInto(sentry(options), context).headers['sentry-trace'], undefined).sampled

    expect(decisionOf()).toBe(true)
    expect(decisionOf({ undecided: 'deny' })).toBe(false)
    expect(decisionOf({ undecided: 'defer' })).toBeUndefined()
  })

  it('throws a TypeError for an unknown option', () => {
    expect(() => sentry({ members: {} } as never)).toThrow(/^sentry: unknown option 'members'/)
  })
})

describe("Sentry's entries in baggage", () => {
  const dsc = {
    trace_id: traceId,
    public_key: '49d0f7386ad645858ae85020e393bef3',
    sample_rate: '0.01337',
    sample_rand: '0.42',
    environment: 'a & b, ü',
    transaction: '/users/:id',
  }
  const headers = {
    'sentry-trace': `${traceId}-${spanId}-1`,
    baggage: `tenant=acme,${dynamicSamplingContextToSentryBaggageHeader(dsc)}`,
  }

  it.each([
    ['before', composite([sentry(), w3cBaggage()])],
    ['after', composite([w3cBaggage(), w3cTraceContext(), sentry()])],
  ])('pass from a trusted peer to a listed host, with sentry() %s w3cBaggage()', (_name, propagator) => {
    const { context } = extractFrom(propagator, headers)
    const { headers: sent } = injectInto(propagator, context)

    const theirs = propagationContextFromHeaders(sent['sentry-trace'], sent['baggage'])
    expect(theirs).toMatchObject({ traceId, sampled: true, dsc, sampleRand: 0.42 })
    expect(theirs.parentSpanId).toBe(context.get(traceContext)?.spanId)
    expect(baggageHeaderToDynamicSamplingContext(sent['baggage'])).toEqual(dsc)
    expect(sent['baggage']).toContain('tenant=acme')
  })

  it('are taken from no other peer, and sent to no other host', () => {
    const propagator = composite([sentry(), w3cBaggage()])
    const stranger = extractFrom(propagator, headers, { values: false }).context
    const trusted = extractFrom(propagator, headers).context

    expect(injectInto(propagator, stranger).headers['baggage']).toBeUndefined()
    expect(injectInto(propagator, trusted, { values: false }).headers['baggage']).toBeUndefined()
    expect(injectInto(propagator, trusted, { values: false }).headers['sentry-trace']).toMatch(traceId)
  })

  it.each<[name: string, propagator: Propagator, peer: Partial<Peer>, given: Record<string, string>]>([
    ['the trace was restarted', composite([sentry(), w3cBaggage()]), { trace: 'restart' }, headers],
    ['the trace was ignored', composite([w3cBaggage(), sentry()]), { trace: 'ignore' }, headers],
    ['the request has no trace', composite([w3cBaggage(), sentry()]), {}, { baggage: headers.baggage }],
    [
      'the trace is that of another header',
      composite([w3cTraceContext(), sentry(), w3cBaggage()]),
      {},
      { ...headers, traceparent: `00-4bf92f3577b34da6a3ce929d0e0e4736-${spanId}-01` },
    ],
    [
      'the list is not written as it came',
      composite([sentry(), w3cBaggage()]),
      { trace: 'restart' },
      { ...headers, baggage: `${headers.baggage} , sentry-trace_id=${traceId}, bad` },
    ],
  ])('are not passed on if %s, and Sentry then uses the new trace alone', (_name, propagator, peer, given) => {
    const { context } = extractFrom(propagator, given, peer)

    const { headers: sent } = injectInto(propagator, context)

    const theirs = propagationContextFromHeaders(sent['sentry-trace'], sent['baggage'])
    expect(sent['baggage']).toBe('tenant=acme')
    expect(theirs).toMatchObject({ traceId: context.get(traceContext)?.traceId, dsc: {} })
    expect(theirs.traceId).not.toBe(traceId)
  })

  it('are not those of an isolated task, whose trace is new', async () => {
    const propagator = composite([sentry(), w3cBaggage()])
    const { context } = extractFrom(propagator, headers)
    const keep = new ContextVar<Baggage>('keep', { onSpawn: 'keep' })

    const sent = await runInScope(
      () => {
        keep.set(baggage.get() as Baggage)
        return spawn(
          () => {
            baggage.set(keep.get() as Baggage)
            return injectInto(propagator, current()).headers
          },
          { policy: 'isolate' },
        ).result()
      },
      { context },
    )

    expect(sent['sentry-trace']).not.toMatch(traceId)
    expect(sent['baggage']).toBe('tenant=acme')
  })

  it('stay if no trace is sent', () => {
    const { context } = extractFrom(w3cBaggage(), headers)

    expect(injectInto(w3cBaggage(), context).headers['baggage']).toBe(headers.baggage)
  })
})
