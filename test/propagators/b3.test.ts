import { LogicalContext } from 'logical-context'
import { b3, type B3Options, type Peer } from 'logical-context/propagators'
import { extractFrom, injectInto } from 'logical-context/testing'
import { type Sampling, TraceContext, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'

const trace = '80f198ee56343ba864fe8b2a57d3eff7'
const shortTrace = '64fe8b2a57d3eff7'
const span = 'e457b5a2e4d86bd1'
const parent = '05e3ac9a4f6e3b90'
const zeros = '0'.repeat(16)

const ids = { 'x-b3-traceid': trace, 'x-b3-spanid': span }

type Found = { traceId: string; parentSpanId: string; sampling: Sampling }

describe('b3, extracting one header', () => {
  it.each<[name: string, header: string, traceId: string, sampling: Sampling]>([
    ['ids, deferred', `${trace}-${span}`, trace, 'defer'],
    ['accept', `${trace}-${span}-1`, trace, 'accept'],
    ['deny', `${trace}-${span}-0`, trace, 'deny'],
    ['debug', `${trace}-${span}-d`, trace, 'debug'],
    ['accept with a parent', `${trace}-${span}-1-${parent}`, trace, 'accept'],
    ['deny with a parent', `${trace}-${span}-0-${parent}`, trace, 'deny'],
    ['debug with a parent', `${trace}-${span}-d-${parent}`, trace, 'debug'],
    ['deferred with a parent, in the place of the state', `${trace}-${span}-${parent}`, trace, 'defer'],
    ['a parent of zeros, which is none', `${trace}-${span}-1-${zeros}`, trace, 'accept'],
    ['a trace id of 16 digits, deferred', `${shortTrace}-${span}`, zeros + shortTrace, 'defer'],
    ['a trace id of 16 digits, accept', `${shortTrace}-${span}-1`, zeros + shortTrace, 'accept'],
    ['a trace id of 16 digits, debug with a parent', `${shortTrace}-${span}-d-${parent}`, zeros + shortTrace, 'debug'],
    ['a trace id of 16 digits, deferred with a parent', `${shortTrace}-${span}-${parent}`, zeros + shortTrace, 'defer'],
    [
      'a trace id of 32 digits whose first half is zero',
      `${zeros}${shortTrace}-${span}-1`,
      zeros + shortTrace,
      'accept',
    ],
    ['blanks around', ` \t${trace}-${span}-1 `, trace, 'accept'],
  ])('reads %s', (_name, header, traceId, sampling) => {
    const { context, refusals } = extractFrom(b3(), { b3: header })

    const found: Found = { traceId, parentSpanId: span, sampling }
    expect(context.get(traceContext)).toMatchObject(found)
    expect(refusals).toEqual([])
  })

  it.each<[name: string, header: string]>([
    ['nothing', ''],
    ['a dash', '-'],
    ['a dash and a state', '-1'],
    ['a state and a dash', '1-'],
    ['an unknown state alone', '2'],
    ['D alone', 'D'],
    ['true alone', 'true'],
    ['a trace id alone', trace],
    ['a short trace id alone', shortTrace],
    ['a trace id and a dash', `${trace}-`],
    ['an unknown state', `${trace}-${span}-2`],
    ['a state in upper case', `${trace}-${span}-D`],
    ['a word for a state', `${trace}-${span}-true`],
    ['an empty state', `${trace}-${span}-`],
    ['an empty parent', `${trace}-${span}-1-`],
    ['the debug flag as it was once', `${trace}-${span}-1-1`],
    ['a trace id of 31 digits', `${trace.slice(1)}-${span}-1`],
    ['a trace id of 33 digits', `${trace}0-${span}-1`],
    ['a trace id of 15 digits', `${shortTrace.slice(1)}-${span}-1`],
    ['a trace id of 17 digits', `${shortTrace}0-${span}-1`],
    ['a trace id of 24 digits', `${trace.slice(8)}-${span}-1`],
    ['a trace id in upper case', `${trace.toUpperCase()}-${span}-1`],
    ['a trace id all zero', `${'0'.repeat(32)}-${span}-1`],
    ['a short trace id all zero', `${zeros}-${span}-1`],
    ['a trace id that is not hex', `${trace.slice(1)}g-${span}-1`],
    ['a span id of 15 digits', `${trace}-${span.slice(1)}-1`],
    ['a span id of 17 digits', `${trace}-${span}0-1`],
    ['a span id in upper case', `${trace}-${span.toUpperCase()}-1`],
    ['a span id all zero', `${trace}-${zeros}-1`],
    ['a span id that is not hex', `${trace}-${span.slice(1)}?-1`],
    ['a parent of 15 digits', `${trace}-${span}-1-${parent.slice(1)}`],
    ['a parent of 17 digits', `${trace}-${span}-1-${parent}0`],
    ['a parent of 32 digits', `${trace}-${span}-1-${parent}${parent}`],
    ['a parent that is not hex', `${trace}-${span}-1-${parent.slice(1)}?`],
    ['a parent in upper case', `${trace}-${span}-1-${parent.toUpperCase()}`],
    ['five fields', `${trace}-${span}-1-${parent}-1`],
    ['a UUID', 'b970dafd-0d95-40aa-95d8-1d8725aebe40'],
    ['words', 'not-a-tumor'],
    ['another separator after the trace id', `${trace}:${span}-1`],
    ['another separator after the span id', `${trace}-${span}:1`],
    ['another separator after the state', `${trace}-${span}-1:${parent}`],
    ['a line end after it', `${trace}-${span}-1\n`],
    ['NBSP in front', `\u00a0${trace}-${span}-1`],
  ])('refuses %s', (_name, header) => {
    const { context, refusals } = extractFrom(b3(), { b3: header })

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, sampling: 'defer' })
    expect(refusals).toEqual(['malformed b3'])
  })

  it.each<[name: string, header: string | string[]]>([
    ['two lines', [`${trace}-${span}-1`, `${trace}-${span}-0`]],
    ['two equal lines', [`${trace}-${span}-1`, `${trace}-${span}-1`]],
    ['two decisions', ['0', '1']],
  ])('refuses %s as duplicates', (_name, header) => {
    const { context, refusals } = extractFrom(b3(), { b3: header })

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, sampling: 'defer' })
    expect(refusals).toEqual(['duplicate b3'])
  })
})

describe('b3, extracting several headers', () => {
  it.each<[name: string, headers: Record<string, string>, found: Found]>([
    ['ids, deferred', ids, { traceId: trace, parentSpanId: span, sampling: 'defer' }],
    ['accept', { ...ids, 'x-b3-sampled': '1' }, { traceId: trace, parentSpanId: span, sampling: 'accept' }],
    ['deny', { ...ids, 'x-b3-sampled': '0' }, { traceId: trace, parentSpanId: span, sampling: 'deny' }],
    ['true, of old', { ...ids, 'x-b3-sampled': 'true' }, { traceId: trace, parentSpanId: span, sampling: 'accept' }],
    ['false, of old', { ...ids, 'x-b3-sampled': 'false' }, { traceId: trace, parentSpanId: span, sampling: 'deny' }],
    ['debug', { ...ids, 'x-b3-flags': '1' }, { traceId: trace, parentSpanId: span, sampling: 'debug' }],
    [
      'debug above accept',
      { ...ids, 'x-b3-flags': '1', 'x-b3-sampled': '1' },
      { traceId: trace, parentSpanId: span, sampling: 'debug' },
    ],
    [
      'debug above deny',
      { ...ids, 'x-b3-flags': '1', 'x-b3-sampled': '0' },
      { traceId: trace, parentSpanId: span, sampling: 'debug' },
    ],
    [
      'flags that are not debug',
      { ...ids, 'x-b3-flags': '0' },
      { traceId: trace, parentSpanId: span, sampling: 'defer' },
    ],
    [
      'flags that are not debug, accept',
      { ...ids, 'x-b3-flags': '0', 'x-b3-sampled': '1' },
      { traceId: trace, parentSpanId: span, sampling: 'accept' },
    ],
    [
      "a parent, which is the caller's affair",
      { ...ids, 'x-b3-parentspanid': parent },
      { traceId: trace, parentSpanId: span, sampling: 'defer' },
    ],
    [
      'a trace id of 16 digits',
      { ...ids, 'x-b3-traceid': shortTrace },
      { traceId: zeros + shortTrace, parentSpanId: span, sampling: 'defer' },
    ],
    [
      'blanks around',
      { 'x-b3-traceid': ` ${trace}\t`, 'x-b3-spanid': `\t${span}`, 'x-b3-sampled': ' 1 ' },
      { traceId: trace, parentSpanId: span, sampling: 'accept' },
    ],
    [
      'names as the text writes them',
      { 'X-B3-TraceId': trace, 'X-B3-SpanId': span, 'X-B3-Sampled': '0' },
      { traceId: trace, parentSpanId: span, sampling: 'deny' },
    ],
  ])('reads %s', (_name, headers, found) => {
    const { context, refusals } = extractFrom(b3(), headers)

    expect(context.get(traceContext)).toMatchObject(found)
    expect(refusals).toEqual([])
  })

  it.each<[name: string, headers: Record<string, string | string[]>, reason: string]>([
    ['no span id', { 'x-b3-traceid': trace }, 'malformed x-b3-traceid'],
    ['no trace id', { 'x-b3-spanid': span }, 'malformed x-b3-traceid'],
    ['empty ids', { 'x-b3-traceid': '', 'x-b3-spanid': '' }, 'malformed x-b3-traceid'],
    ['a trace id of 17 digits', { ...ids, 'x-b3-traceid': `${shortTrace}0` }, 'malformed x-b3-traceid'],
    ['a trace id of 31 digits', { ...ids, 'x-b3-traceid': trace.slice(1) }, 'malformed x-b3-traceid'],
    ['a trace id of 33 digits', { ...ids, 'x-b3-traceid': `${trace}0` }, 'malformed x-b3-traceid'],
    ['a trace id in upper case', { ...ids, 'x-b3-traceid': trace.toUpperCase() }, 'malformed x-b3-traceid'],
    ['a trace id all zero', { ...ids, 'x-b3-traceid': '0'.repeat(32) }, 'malformed x-b3-traceid'],
    ['a span id of 15 digits', { ...ids, 'x-b3-spanid': span.slice(1) }, 'malformed x-b3-traceid'],
    ['a span id of 17 digits', { ...ids, 'x-b3-spanid': `${span}0` }, 'malformed x-b3-traceid'],
    ['a span id all zero', { ...ids, 'x-b3-spanid': zeros }, 'malformed x-b3-traceid'],
    ['two trace ids', { ...ids, 'x-b3-traceid': [trace, trace] }, 'duplicate x-b3-traceid'],
    ['two span ids', { ...ids, 'x-b3-spanid': [span, parent] }, 'duplicate x-b3-traceid'],
  ])('refuses %s', (_name, headers, reason) => {
    const { context, refusals } = extractFrom(b3(), headers)

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, sampling: 'defer' })
    expect(refusals).toEqual([reason])
  })

  it.each<[name: string, sampled: string | string[], reason: string]>([
    ['a number', '2', 'malformed x-b3-sampled'],
    ['the letter for debug', 'd', 'malformed x-b3-sampled'],
    ['TRUE', 'TRUE', 'malformed x-b3-sampled'],
    ['nothing', '', 'malformed x-b3-sampled'],
    ['two decisions', ['0', '1'], 'duplicate x-b3-sampled'],
  ])('defers, and keeps the trace, for a decision that is %s', (_name, sampled, reason) => {
    const { context, refusals } = extractFrom(b3(), { ...ids, 'x-b3-sampled': sampled })

    expect(context.get(traceContext)).toMatchObject({ traceId: trace, sampling: 'defer' })
    expect(refusals).toEqual([reason])
  })

  it('reads the one header before the others', () => {
    const { context } = extractFrom(b3(), { ...ids, b3: `${'a'.repeat(32)}-${span}-0` })

    expect(context.get(traceContext)).toMatchObject({ traceId: 'a'.repeat(32), sampling: 'deny' })
  })

  it('reads the others if the one header is malformed', () => {
    const { context, refusals } = extractFrom(b3(), { ...ids, b3: 'x' })

    expect(context.get(traceContext)).toMatchObject({ traceId: trace })
    expect(refusals).toEqual(['malformed b3'])
  })
})

describe('b3, extracting a decision without ids', () => {
  it.each<[name: string, headers: Record<string, string>, sampling: Sampling]>([
    ['deny', { b3: '0' }, 'deny'],
    ['accept', { b3: '1' }, 'accept'],
    ['debug', { b3: 'd' }, 'debug'],
    ['deny in headers', { 'x-b3-sampled': '0' }, 'deny'],
    ['accept in headers', { 'x-b3-sampled': '1' }, 'accept'],
    ['debug in headers', { 'x-b3-flags': '1' }, 'debug'],
    ['nothing', {}, 'defer'],
    ['flags that are not debug', { 'x-b3-flags': '0' }, 'defer'],
    ['a parent alone', { 'x-b3-parentspanid': parent }, 'defer'],
  ])('begins a trace with %s', (_name, headers, sampling) => {
    const { context, refusals } = extractFrom(b3(), headers)

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, link: undefined, sampling })
    expect(refusals).toEqual([])
  })

  it('is a decision for a trace that was begun without one', () => {
    const begun = LogicalContext.empty.with(traceContext, new TraceContext())

    expect(extractFrom(b3(), { b3: '0' }, {}, begun).context.get(traceContext)?.sampling).toBe('deny')
  })

  it('does not change a decision that was there', () => {
    const decided = LogicalContext.empty.with(traceContext, new TraceContext({ sampling: 'accept' }))

    expect(extractFrom(b3(), { b3: '0' }, {}, decided).context).toBe(decided)
  })

  it.each<Peer['trace']>(['restart', 'ignore'])('does not count from a peer whose trace it is to %s', (verdict) => {
    const { context, refusals } = extractFrom(b3(), { b3: 'd' }, { trace: verdict })

    expect(context.get(traceContext)).toMatchObject({ sampling: 'defer', flags: 2 })
    expect(refusals).toEqual(['refused b3'])
  })
})

describe('b3, for a peer that is not to be continued', () => {
  it.each<[name: string, headers: Record<string, string>, verdict: Peer['trace'], link: unknown, reason: string]>([
    ['one header, restart', { b3: `${trace}-${span}-d` }, 'restart', { traceId: trace, spanId: span }, 'refused b3'],
    ['one header, ignore', { b3: `${trace}-${span}-d` }, 'ignore', undefined, 'refused b3'],
    [
      'several headers, restart',
      { ...ids, 'x-b3-flags': '1' },
      'restart',
      { traceId: trace, spanId: span },
      'refused x-b3-traceid',
    ],
    ['several headers, ignore', { ...ids, 'x-b3-flags': '1' }, 'ignore', undefined, 'refused x-b3-traceid'],
  ])('begins a trace without the decision: %s', (_name, headers, verdict, link, reason) => {
    const { context, refusals } = extractFrom(b3(), headers, { trace: verdict })

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, sampling: 'defer', flags: 2, link })
    expect(refusals).toEqual([reason])
  })
})

describe('b3, injecting', () => {
  const at = (sampling: Sampling, traceId = trace, parentSpanId?: string) =>
    LogicalContext.empty.with(traceContext, new TraceContext({ traceId, spanId: span, parentSpanId, sampling }))

  it.each<[name: string, context: LogicalContext, header: string]>([
    ['defer', at('defer'), `${trace}-${span}`],
    ['accept', at('accept'), `${trace}-${span}-1`],
    ['deny', at('deny'), `${trace}-${span}-0`],
    ['debug', at('debug'), `${trace}-${span}-d`],
    ['accept below a parent', at('accept', trace, parent), `${trace}-${span}-1-${parent}`],
    ['debug below a parent', at('debug', trace, parent), `${trace}-${span}-d-${parent}`],
    ['defer below a parent, which is left out', at('defer', trace, parent), `${trace}-${span}`],
    ['a trace id of 16 digits', at('accept', zeros + shortTrace), `${shortTrace}-${span}-1`],
  ])('writes one header: %s', (_name, context, header) => {
    expect(injectInto(b3(), context).headers).toEqual({ b3: header })
  })

  it.each<[name: string, context: LogicalContext, headers: Record<string, string>]>([
    ['defer', at('defer'), ids],
    ['accept', at('accept'), { ...ids, 'x-b3-sampled': '1' }],
    ['deny', at('deny'), { ...ids, 'x-b3-sampled': '0' }],
    ['debug, without the decision it implies', at('debug'), { ...ids, 'x-b3-flags': '1' }],
    ['below a parent', at('accept', trace, parent), { ...ids, 'x-b3-parentspanid': parent, 'x-b3-sampled': '1' }],
    [
      'a trace id of 16 digits',
      at('deny', zeros + shortTrace),
      { ...ids, 'x-b3-traceid': shortTrace, 'x-b3-sampled': '0' },
    ],
  ])('writes several headers: %s', (_name, context, headers) => {
    expect(injectInto(b3({ inject: 'multi' }), context).headers).toStrictEqual(headers)
  })

  it.each<[name: string, options: B3Options, headers: Record<string, string>]>([
    ['one header', {}, { b3: 'mine' }],
    ['one header in another case', {}, { B3: 'mine' }],
    ['one of several headers', { inject: 'multi' }, { 'X-B3-Sampled': '0' }],
    ['ids', { inject: 'multi' }, { 'x-b3-traceid': 'mine', 'x-b3-spanid': 'mine' }],
  ])('leaves alone what the caller has set: %s', (_name, options, headers) => {
    expect(injectInto(b3(options), at('accept'), {}, { ...headers }).headers).toEqual(headers)
  })

  it('writes nothing where the trace may not go, nor without one', () => {
    expect(injectInto(b3(), at('accept'), { trace: false }).headers).toEqual({})
    expect(injectInto(b3({ inject: 'multi' }), LogicalContext.empty).headers).toEqual({})
  })
})

describe('b3, from one form to the other and back', () => {
  const single = b3({ inject: 'single' })
  const multi = b3({ inject: 'multi' })

  it.each<[sampling: Sampling, length: 16 | 32]>([
    ['accept', 32],
    ['deny', 32],
    ['debug', 32],
    ['defer', 32],
    ['accept', 16],
    ['deny', 16],
    ['debug', 16],
    ['defer', 16],
  ])('keeps %s and %i digits', (sampling, length) => {
    const traceId = length === 16 ? zeros + shortTrace : trace
    const first = LogicalContext.empty.with(traceContext, new TraceContext({ traceId, spanId: span, sampling }))

    const second = extractFrom(multi, injectInto(single, first).headers).context
    const third = extractFrom(single, injectInto(multi, second).headers).context

    expect(second.get(traceContext)).toMatchObject({ traceId, parentSpanId: span, sampling })
    expect(third.get(traceContext)).toMatchObject({ traceId, parentSpanId: second.get(traceContext)?.spanId, sampling })
    expect(injectInto(single, third).headers['b3']?.split('-')[0]).toHaveLength(length)
  })
})

describe('b3, registered', () => {
  it.each<[name: string, options: unknown, message: string]>([
    ['an unknown option', { form: 'multi' }, "b3: unknown option 'form', expected one of: inject, undecided."],
    ['an unknown form', { inject: 'both' }, "b3: option 'inject' expected 'single' or 'multi', got 'both'."],
  ])('throws for %s', (_name, options, message) => {
    expect(() => b3(options as never)).toThrow(new TypeError(message))
  })
})
