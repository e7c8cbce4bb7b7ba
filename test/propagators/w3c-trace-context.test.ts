import { LogicalContext } from 'logical-context'
import { type Destination, type Peer, w3cTraceContext } from 'logical-context/propagators'
import { extractFrom, injectInto } from 'logical-context/testing'
import { TraceContext, traceContext, Tracestate } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'

const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
const span = '00f067aa0ba902b7'
const traceparent = `00-${trace}-${span}-01`

describe('w3cTraceContext', () => {
  it('continues the trace in a span of its own', () => {
    const { context } = extractFrom(w3cTraceContext(), { traceparent, tracestate: 'rojo=1,congo=2' })

    const found = context.get(traceContext) as TraceContext

    expect(found).toMatchObject({ traceId: trace, parentSpanId: span, flags: 1, sampling: 'accept', link: undefined })
    expect(found.spanId).toMatch(/^[0-9a-f]{16}$/)
    expect(found.spanId).not.toBe(span)
    expect(String(found.state)).toBe('rojo=1,congo=2')
  })

  it.each<[verdict: Peer['trace'], link: unknown]>([
    ['restart', { traceId: trace, spanId: span }],
    ['ignore', undefined],
  ])('%ss the trace, and says so', (verdict, link) => {
    const { context, refusals } = extractFrom(
      w3cTraceContext(),
      { traceparent, tracestate: 'rojo=1' },
      { trace: verdict },
    )

    const found = context.get(traceContext) as TraceContext

    expect(found).toMatchObject({ parentSpanId: undefined, flags: 2, sampling: 'defer', sampled: false, link })
    expect(found.traceId).not.toBe(trace)
    expect(String(found.state)).toBe('')
    expect(refusals).toEqual(['refused traceparent'])
  })

  it.each<Peer['trace']>(['continue', 'restart', 'ignore'])(
    'begins a trace without a header when the verdict is %s',
    (verdict) => {
      const { context, refusals } = extractFrom(w3cTraceContext(), {}, { trace: verdict })

      expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, link: undefined, flags: 2 })
      expect(refusals).toEqual([])
    },
  )

  it('keeps a trace that was found before', () => {
    const before = LogicalContext.empty.with(
      traceContext,
      new TraceContext({ traceId: 'a'.repeat(32), parentSpanId: span }),
    )

    const { context } = extractFrom(w3cTraceContext(), { traceparent }, {}, before)

    expect(context).toBe(before)
  })

  it('takes the place of a trace that was begun without one', () => {
    const begun = LogicalContext.empty.with(traceContext, new TraceContext())

    const { context } = extractFrom(w3cTraceContext(), { traceparent }, {}, begun)

    expect(context.get(traceContext)?.traceId).toBe(trace)
  })

  it('keeps a trace that was begun if there is no header', () => {
    const begun = LogicalContext.empty.with(traceContext, new TraceContext())

    const { context } = extractFrom(w3cTraceContext(), {}, {}, begun)

    expect(context).toBe(begun)
  })

  it('creates a span id for each request (3.4)', () => {
    const ids = Array.from({ length: 100 }, () => {
      const { context } = extractFrom(w3cTraceContext(), { traceparent })
      return injectInto(w3cTraceContext(), context).headers['traceparent']
    })

    expect(new Set(ids).size).toBe(100)
  })

  it('writes the span of the unit, in version 00 (3.2.4)', () => {
    const { context } = extractFrom(w3cTraceContext(), { traceparent: `cc-${trace}-${span}-ff-tail` })

    const { headers } = injectInto(w3cTraceContext(), context)

    expect(headers).toEqual({ traceparent: `00-${trace}-${context.get(traceContext)?.spanId}-03` })
  })

  it.each<[name: string, flags: number, text: string]>([
    ['none', 0x00, '00'],
    ['sampled', 0x01, '01'],
    ['random', 0x02, '02'],
    ['both', 0x03, '03'],
    ['reserved bits cleared', 0xfc, '00'],
    ['a reserved bit that would need a sign', 0x80, '00'],
    ['all bits', 0xff, '03'],
    ['bits beyond the byte', 0x1ff, '03'],
  ])('writes flags as two hex digits: %s (3.2.2.5)', (_name, flags, text) => {
    const context = LogicalContext.empty.with(traceContext, new TraceContext({ traceId: trace, spanId: span, flags }))

    expect(injectInto(w3cTraceContext(), context).headers).toEqual({ traceparent: `00-${trace}-${span}-${text}` })
  })

  it('sets the random flag of a trace it begins (3.2.2.5.2)', () => {
    const { context } = extractFrom(w3cTraceContext(), {})

    expect(injectInto(w3cTraceContext(), context).headers['traceparent']).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-03$/)
  })

  it.each<[name: string, destination: Partial<Destination>]>([
    ['the trace is not to go out', { trace: false }],
    ['neither the trace nor values are to go out', { trace: false, values: false }],
  ])('writes nothing if %s', (_name, destination) => {
    const { context } = extractFrom(w3cTraceContext(), { traceparent, tracestate: 'a=1' })

    expect(injectInto(w3cTraceContext(), context, destination).headers).toEqual({})
  })

  it('writes the trace where no values may go', () => {
    const { context } = extractFrom(w3cTraceContext(), { traceparent, tracestate: 'a=1' })

    const { headers } = injectInto(w3cTraceContext(), context, { values: false })

    expect(Object.keys(headers)).toEqual(['traceparent', 'tracestate'])
  })

  it('writes nothing without a trace', () => {
    expect(injectInto(w3cTraceContext(), LogicalContext.empty).headers).toEqual({})
  })

  it.each<[name: string, headers: Record<string, string>]>([
    ['traceparent', { traceparent: 'mine' }],
    ['traceparent in another case', { TraceParent: 'mine' }],
    ['an empty traceparent', { traceparent: '' }],
    ['both headers', { traceparent: 'mine', tracestate: 'mine' }],
  ])('leaves alone what the caller has set: %s', (_name, headers) => {
    const { context } = extractFrom(w3cTraceContext(), { traceparent, tracestate: 'a=1' })

    expect(injectInto(w3cTraceContext(), context, {}, { ...headers }).headers).toEqual(headers)
  })

  it('leaves alone a tracestate that the caller has set', () => {
    const { context } = extractFrom(w3cTraceContext(), { traceparent, tracestate: 'a=1' })

    const { headers } = injectInto(w3cTraceContext(), context, {}, { tracestate: 'mine=1' })

    expect(headers).toEqual({ tracestate: 'mine=1', traceparent: expect.any(String) })
  })
})

describe('tracestate on its way through', () => {
  it.each<[name: string, came: string | string[], goes: string | undefined]>([
    ['one member', 'foo=1', 'foo=1'],
    ['two members', 'foo=1,bar=2', 'foo=1,bar=2'],
    ['blanks as they came', 'foo=1 \t , \t bar=2', 'foo=1 \t , \t bar=2'],
    ['3.3.2 several lines', ['foo=1,bar=2', 'rojo=1,congo=2', 'baz=3'], 'foo=1,bar=2, rojo=1,congo=2, baz=3'],
    ['3.3.2 an empty line after it', ['foo=1', ''], 'foo=1, '],
    ['3.3.2 an empty line in front', ['', 'foo=1'], ', foo=1'],
    ['3.3.2 empty members', 'foo=1,,bar=2', 'foo=1,,bar=2'],
    ['3.3.2 empty', '', undefined],
    ['3.3.2 blank', ' \t ', undefined],
    ['3.3.2 commas only', ',,,', undefined],
    ['3.3.2 empty lines', ['', ''], undefined],
  ])('%s', (_name, came, goes) => {
    const { context } = extractFrom(w3cTraceContext(), { traceparent, tracestate: came })

    const { headers, refusals } = injectInto(w3cTraceContext(), context)

    expect(headers['tracestate']).toBe(goes)
    expect(refusals).toEqual([])
  })

  it('is dropped whole if it breaks the grammar, and the trace kept (3.3)', () => {
    const { context } = extractFrom(w3cTraceContext(), { traceparent, tracestate: 'foo=1,BAR=2' })

    const { headers, refusals } = injectInto(w3cTraceContext(), context)

    expect(headers).toEqual({ traceparent: `00-${trace}-${context.get(traceContext)?.spanId}-01` })
    expect(refusals).toEqual(['malformed tracestate'])
  })

  it.each<[name: string, tracestate: string]>([
    ['a short one', 'BAD'],
    ['one at the limit', 'B'.repeat(512)],
  ])('is not parsed before it is read: %s', (_name, tracestate) => {
    expect(extractFrom(w3cTraceContext(), { traceparent, tracestate }).refusals).toEqual([])
  })

  it('is cut as it comes in, if it is too long (3.3.3.1)', () => {
    const long = Array.from({ length: 30 }, (_, i) => `vendor${i}=${'x'.repeat(20)}`).join(',')

    const { context, refusals } = extractFrom(w3cTraceContext(), { traceparent, tracestate: long })
    const { headers } = injectInto(w3cTraceContext(), context)

    expect(refusals).toEqual(['truncated tracestate'])
    expect(headers['tracestate']?.length).toBeLessThanOrEqual(512)
    expect(long.startsWith(`${headers['tracestate']},`)).toBe(true)
  })

  it('loses nothing but its blanks, if it is too long by these', () => {
    const tracestate = `foo=1,${' '.repeat(512)}bar=2`

    const { context, refusals } = extractFrom(w3cTraceContext(), { traceparent, tracestate })

    expect(refusals).toEqual([])
    expect(injectInto(w3cTraceContext(), context).headers['tracestate']).toBe('foo=1,bar=2')
  })

  it('is not read at all, if the trace is not continued', () => {
    const { refusals } = extractFrom(
      w3cTraceContext(),
      { traceparent, tracestate: ','.repeat(10_000) },
      { trace: 'restart' },
    )

    expect(refusals).toEqual(['refused traceparent'])
  })

  it('is reported as it comes in, if it is too long to be read later', () => {
    const { refusals } = extractFrom(w3cTraceContext(), { traceparent, tracestate: 'x,'.repeat(10_000) })

    expect(refusals).toEqual(['malformed tracestate'])
  })

  it('goes out with what the unit has set in front (3.5)', () => {
    const { context } = extractFrom(w3cTraceContext(), { traceparent, tracestate: 'rojo=1,congo=2' })
    const found = context.get(traceContext) as TraceContext
    const ours = new TraceContext({
      traceId: found.traceId,
      spanId: found.spanId,
      state: found.state.set('congo', '3'),
    })

    const { headers } = injectInto(w3cTraceContext(), context.with(traceContext, ours))

    expect(headers['tracestate']).toBe('congo=3,rojo=1')
  })

  it('goes out from a trace that began here', () => {
    const ours = new TraceContext({ state: Tracestate.empty.set('ours', '1') })

    expect(injectInto(w3cTraceContext(), LogicalContext.empty.with(traceContext, ours)).headers['tracestate']).toBe(
      'ours=1',
    )
  })

  it('goes with child spans', () => {
    const { context } = extractFrom(w3cTraceContext(), { traceparent, tracestate: 'rojo=1' })
    const child = (context.get(traceContext) as TraceContext).child()

    const { headers } = injectInto(w3cTraceContext(), context.with(traceContext, child))

    expect(headers['tracestate']).toBe('rojo=1')
  })
})
