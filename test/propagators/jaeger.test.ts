import { LogicalContext } from 'logical-context'
import { jaeger } from 'logical-context/propagators'
import { extractFrom, injectInto } from 'logical-context/testing'
import { type Sampling, TraceContext, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'

const trace = '80f198ee56343ba864fe8b2a57d3eff7'
const span = 'e457b5a2e4d86bd1'
const parent = '05e3ac9a4f6e3b90'

describe('jaeger, extracting', () => {
  it.each<[name: string, header: string, traceId: string, spanId: string, sampling: Sampling]>([
    ['sampled', `${trace}:${span}:0:1`, trace, span, 'accept'],
    ['sampled, two digits', `${trace}:${span}:0:01`, trace, span, 'accept'],
    ['not sampled', `${trace}:${span}:0:0`, trace, span, 'deny'],
    ['debug', `${trace}:${span}:0:3`, trace, span, 'debug'],
    ['debug alone', `${trace}:${span}:0:2`, trace, span, 'debug'],
    ['other flags next to it', `${trace}:${span}:0:9`, trace, span, 'accept'],
    ['other flags alone', `${trace}:${span}:0:f8`, trace, span, 'deny'],
    ['a parent, which is not read', `${trace}:${span}:${parent}:1`, trace, span, 'accept'],
    ['a trace id of 16 digits', `${span}:${span}:0:1`, `${'0'.repeat(16)}${span}`, span, 'accept'],
    ['short ids', 'abc:1:0:1', 'abc'.padStart(32, '0'), '1'.padStart(16, '0'), 'accept'],
    ['ids in upper case', `${trace.toUpperCase()}:${span.toUpperCase()}:0:1`, trace, span, 'accept'],
    ['colons that are escaped', `${trace}%3A${span}%3A0%3A1`, trace, span, 'accept'],
    ['colons that are escaped in lower case', `${trace}%3a${span}%3a${parent}%3a01`, trace, span, 'accept'],
    ['blanks around', ` ${trace}:${span}:0:1\t`, trace, span, 'accept'],
  ])('reads %s', (_name, header, traceId, spanId, sampling) => {
    const { context, refusals } = extractFrom(jaeger(), { 'Uber-Trace-Id': header })

    expect(context.get(traceContext)).toMatchObject({ traceId, parentSpanId: spanId, sampling })
    expect(refusals).toEqual([])
  })

  it.each<[name: string, header: string]>([
    ['nothing', ''],
    ['three fields', `${trace}:${span}:1`],
    ['five fields', `${trace}:${span}:0:1:1`],
    ['colons only', ':::'],
    ['an empty trace id', `:${span}:0:1`],
    ['an empty span id', `${trace}::0:1`],
    ['an empty parent', `${trace}:${span}::1`],
    ['empty flags', `${trace}:${span}:0:`],
    ['a trace id of zero', `0:${span}:0:1`],
    ['a span id of zero', `${trace}:0:0:1`],
    ['a trace id of 33 digits', `${trace}0:${span}:0:1`],
    ['a span id of 17 digits', `${trace}:${span}0:0:1`],
    ['a parent of 17 digits', `${trace}:${span}:${parent}0:1`],
    ['flags of three digits', `${trace}:${span}:0:001`],
    ['a trace id that is not hex', `${trace.slice(1)}g:${span}:0:1`],
    ['a span id that is not hex', `${trace}:x:0:1`],
    ['a parent that is not hex', `${trace}:${span}:x:1`],
    ['flags that are not hex', `${trace}:${span}:0:x`],
    ['a sign', `${trace}:-1:0:1`],
    ['a prefix', `0x1:${span}:0:1`],
    ['a blank within', `${trace}: ${span}:0:1`],
    ['a line end after it', `${trace}:${span}:0:1\n`],
    ['another escape', `${trace}%2D${span}%2D0%2D1`],
    ['a megabyte of colons', ':'.repeat(1_000_000)],
    ['a character that lower case makes longer', `İ:${span}:0:1`],
  ])('refuses %s', (_name, header) => {
    const { context, refusals } = extractFrom(jaeger(), { 'uber-trace-id': header })

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, sampling: 'defer' })
    expect(refusals).toEqual(['malformed uber-trace-id'])
  })

  it('refuses two lines', () => {
    const { context, refusals } = extractFrom(jaeger(), { 'uber-trace-id': ['1:1:0:1', '1:1:0:1'] })

    expect(context.get(traceContext)?.parentSpanId).toBe(undefined)
    expect(refusals).toEqual(['duplicate uber-trace-id'])
  })

  it('begins a trace without a header', () => {
    const { context, refusals } = extractFrom(jaeger(), {})

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, sampling: 'defer' })
    expect(refusals).toEqual([])
  })

  it.each<[verdict: 'restart' | 'ignore', link: unknown]>([
    ['restart', { traceId: trace, spanId: span }],
    ['ignore', undefined],
  ])('follows the verdict %s', (verdict, link) => {
    const { context, refusals } = extractFrom(jaeger(), { 'uber-trace-id': `${trace}:${span}:0:3` }, { trace: verdict })

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, sampling: 'defer', link })
    expect(refusals).toEqual(['refused uber-trace-id'])
  })
})

describe('jaeger, injecting', () => {
  it.each<[name: string, init: object, header: string]>([
    ['accept', { sampling: 'accept' }, `${trace}:${span}:0:01`],
    ['deny', { sampling: 'deny' }, `${trace}:${span}:0:00`],
    ['debug', { sampling: 'debug' }, `${trace}:${span}:0:03`],
    ['accept for defer, which it cannot express', { sampling: 'defer' }, `${trace}:${span}:0:01`],
    ['a parent', { sampling: 'accept', parentSpanId: parent }, `${trace}:${span}:${parent}:01`],
    ['a trace id of 64 bits', { traceId: '0'.repeat(16) + span, flags: 1 }, `${span}:${span}:0:01`],
  ])('writes %s', (_name, init, header) => {
    const context = LogicalContext.empty.with(traceContext, new TraceContext({ traceId: trace, spanId: span, ...init }))

    expect(injectInto(jaeger(), context).headers).toEqual({ 'uber-trace-id': header })
  })

  it('writes nothing where the trace may not go, nor without one, nor over the caller', () => {
    const context = LogicalContext.empty.with(traceContext, new TraceContext())
    const mine = { 'Uber-Trace-Id': 'mine' }

    expect(injectInto(jaeger(), context, { trace: false }).headers).toEqual({})
    expect(injectInto(jaeger(), LogicalContext.empty).headers).toEqual({})
    expect(injectInto(jaeger(), context, {}, { ...mine }).headers).toEqual(mine)
  })
})
