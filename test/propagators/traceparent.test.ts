import { traceContext } from 'logical-context/variables'
import { w3cTraceContext } from 'logical-context/propagators'
import { extractFrom } from 'logical-context/testing'
import { describe, expect, it } from 'vitest'

const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
const span = '00f067aa0ba902b7'
const valid = `00-${trace}-${span}-01`
const nbsp = '\u00a0'

describe('a traceparent that is continued', () => {
  it.each<[name: string, header: string, flags: number]>([
    ['3.2.3 sampled', valid, 1],
    ['3.2.3 not sampled', `00-${trace}-${span}-00`, 0],
    ['3.2.2.5.2 the random flag alone', `00-${trace}-${span}-02`, 2],
    ['3.2.2.5.2 both flags', `00-${trace}-${span}-03`, 3],
    ['3.2.2.5.3 reserved bits are not kept: 04', `00-${trace}-${span}-04`, 0],
    ['3.2.2.5.3 reserved bits are not kept: 08', `00-${trace}-${span}-08`, 0],
    ['3.2.2.5.3 reserved bits are not kept: 09', `00-${trace}-${span}-09`, 1],
    ['3.2.2.5.3 reserved bits are not kept: 10', `00-${trace}-${span}-10`, 0],
    ['3.2.2.5.3 reserved bits are not kept: 80', `00-${trace}-${span}-80`, 0],
    ['3.2.2.5.3 reserved bits are not kept: fe', `00-${trace}-${span}-fe`, 2],
    ['3.2.2.5.3 all bits', `00-${trace}-${span}-ff`, 3],
    ['3.2.4 version 01', `01-${trace}-${span}-01`, 1],
    ['3.2.4 version 0a', `0a-${trace}-${span}-01`, 1],
    ['3.2.4 version cc', `cc-${trace}-${span}-01`, 1],
    ['3.2.4 version fe', `fe-${trace}-${span}-01`, 1],
    ['3.2.4 a higher version with the random flag, 3.2.2.5.2', `01-${trace}-${span}-03`, 3],
    ['3.2.4 a higher version with unknown flags', `01-${trace}-${span}-fd`, 1],
    ['3.2.4 a higher version with a tail', `cc-${trace}-${span}-01-what-the-future-will-be-like`, 1],
    ['3.2.4 a higher version with an empty tail', `cc-${trace}-${span}-01-`, 1],
    ['3.2.4 a higher version with a tail of anything', `cc-${trace}-${span}-01-.!"§`, 1],
    ['RFC 9110, 5.5 a space in front', ` ${valid}`, 1],
    ['RFC 9110, 5.5 a tab in front', `\t${valid}`, 1],
    ['RFC 9110, 5.5 a space after it', `${valid} `, 1],
    ['RFC 9110, 5.5 a tab after it', `${valid}\t`, 1],
    ['RFC 9110, 5.5 blanks all around', ` \t ${valid}\t \t`, 1],
    ['RFC 9110, 5.5 blanks after a higher version', `01-${trace}-${span}-01 \t`, 1],
  ])('%s', (_name, header, flags) => {
    const { context, refusals } = extractFrom(w3cTraceContext(), { traceparent: header })

    expect(context.get(traceContext)).toMatchObject({ traceId: trace, parentSpanId: span, flags, link: undefined })
    expect(refusals).toEqual([])
  })

  it.each<[name: string, traceId: string, spanId: string]>([
    ['3.2.2.3 a trace id with one digit', `${'0'.repeat(31)}1`, span],
    ['3.2.2.3 a trace id whose first half is zero', `${'0'.repeat(16)}${span}`, span],
    ['3.2.2.3 a trace id whose second half is zero', `${span}${'0'.repeat(16)}`, span],
    ['3.2.2.3 a trace id of f only', 'f'.repeat(32), span],
    ['3.2.2.4 a span id with one digit', trace, `8${'0'.repeat(15)}`],
    ['3.2.2.4 a span id of f only', trace, 'f'.repeat(16)],
    ['3.2.2.3 all sixteen digits', '0123456789abcdeffedcba9876543210', '0123456789abcdef'],
  ])('%s', (_name, traceId, spanId) => {
    const { context } = extractFrom(w3cTraceContext(), { traceparent: `00-${traceId}-${spanId}-00` })

    expect(context.get(traceContext)).toMatchObject({ traceId, parentSpanId: spanId })
  })
})

describe('a traceparent that begins a new trace', () => {
  it.each<[name: string, header: string]>([
    ['3.2.2 empty', ''],
    ['3.2.2 blank', ' \t '],
    ['3.2.2 dashes only', '---'],
    ['3.2.2 no dashes', `00${trace}${span}01`],
    ['3.2.2 other separators', `00_${trace}_${span}_01`],
    ['3.2.2 a dash is missing after the version', `000${trace}-${span}-01`],
    ['3.2.2 a dash is missing after the trace id', `00-${trace}0${span}-01`],
    ['3.2.2 a dash is missing after the span id', `00-${trace}-${span}001`],
    ['3.2.2 a dash too many', `00--${trace}-${span}-01`],
    ['3.2.2 fields in another order', `00-${span}-${trace}-01`],
    ['3.2.2 flags are missing', `00-${trace}-${span}`],
    ['3.2.2 flags are missing after a dash', `00-${trace}-${span}-`],
    ['3.2.2 one character short', valid.slice(0, -1)],
    ['3.2.2 one character less in front', valid.slice(1)],
    ['3.2.2.1 version ff', `ff-${trace}-${span}-01`],
    ['3.2.2.1 version ff with a tail', `ff-${trace}-${span}-01-tail`],
    ['3.2.2.1 version FF', `FF-${trace}-${span}-01`],
    ['3.2.2.1 version in upper case', `0A-${trace}-${span}-01`],
    ['3.2.2.1 version .0', `.0-${trace}-${span}-01`],
    ['3.2.2.1 version 0.', `0.-${trace}-${span}-01`],
    ['3.2.2.1 version of one digit', `0-${trace}-${span}-01`],
    ['3.2.2.1 version of three digits', `000-${trace}-${span}-01`],
    ['3.2.2.1 version of four digits', `0000-${trace}-${span}-01`],
    ['3.2.2.1 version of letters', `zz-${trace}-${span}-01`],
    ['3.2.2.1 version with a sign', `-1-${trace}-${span}-01`],
    ['3.2.2.2 version 00 with a tail', `${valid}-what-the-future-will-be-like`],
    ['3.2.2.2 version 00 with an empty tail', `${valid}-`],
    ['3.2.2.2 version 00 with a dot after it', `${valid}.`],
    ['3.2.2.2 version 00 with one digit after it', `${valid}0`],
    ['3.2.2.3 trace id all zero', `00-${'0'.repeat(32)}-${span}-01`],
    ['3.2.2.3 trace id of a higher version all zero', `cc-${'0'.repeat(32)}-${span}-01`],
    ['3.2.2.3 trace id in upper case', `00-${trace.toUpperCase()}-${span}-01`],
    ['3.2.2.3 trace id with one letter in upper case', `00-${trace.replace('b', 'B')}-${span}-01`],
    ['3.2.2.3 trace id with a dot in front', `00-.${trace.slice(1)}-${span}-01`],
    ['3.2.2.3 trace id with a dot after it', `00-${trace.slice(1)}.-${span}-01`],
    ['3.2.2.3 trace id with g', `00-g${trace.slice(1)}-${span}-01`],
    ['3.2.2.3 trace id with a blank', `00- ${trace.slice(1)}-${span}-01`],
    ['3.2.2.3 trace id with a character before 0', `00-/${trace.slice(1)}-${span}-01`],
    ['3.2.2.3 trace id with a character after 9', `00-:${trace.slice(1)}-${span}-01`],
    ['3.2.2.3 trace id with a character before a', `00-\`${trace.slice(1)}-${span}-01`],
    ['3.2.2.3 trace id with a character whose low byte is a digit', `00-İ${trace.slice(1)}-${span}-01`],
    ['3.2.2.3 trace id with a digit that is not ASCII', `00-٣${trace.slice(1)}-${span}-01`],
    ['3.2.2.3 trace id with a character of latin1', `00-é${trace.slice(1)}-${span}-01`],
    ['3.2.2.3 trace id with a surrogate', `00-\ud800${trace.slice(1)}-${span}-01`],
    ['3.2.2.3 trace id of 31 digits', `00-${trace.slice(1)}-${span}-01`],
    ['3.2.2.3 trace id of 33 digits', `00-${trace}0-${span}-01`],
    ['3.2.2.4 span id all zero', `00-${trace}-${'0'.repeat(16)}-01`],
    ['3.2.2.4 span id of a higher version all zero', `cc-${trace}-${'0'.repeat(16)}-01`],
    ['3.2.2.4 span id in upper case', `00-${trace}-${span.toUpperCase()}-01`],
    ['3.2.2.4 span id with a dot in front', `00-${trace}-.${span.slice(1)}-01`],
    ['3.2.2.4 span id with a dot after it', `00-${trace}-${span.slice(1)}.-01`],
    ['3.2.2.4 span id of 15 digits', `00-${trace}-${span.slice(1)}-01`],
    ['3.2.2.4 span id of 17 digits', `00-${trace}-${span}0-01`],
    ['3.2.2.5 flags .0', `00-${trace}-${span}-.0`],
    ['3.2.2.5 flags 0.', `00-${trace}-${span}-0.`],
    ['3.2.2.5 flags in upper case', `00-${trace}-${span}-0A`],
    ['3.2.2.5 flags of one digit', `00-${trace}-${span}-1`],
    ['3.2.2.5 flags of three digits', `00-${trace}-${span}-001`],
    ['3.2.2.5 flags with a sign', `00-${trace}-${span}--1`],
    ['3.2.2.5 flags with a blank', `00-${trace}-${span}- 1`],
    ['3.2.4 a higher version that is too short', `cc-${trace}-${span}-0`],
    ['3.2.4 a higher version with a tail without a dash', `cc-${trace}-${span}-01.what-the-future-will-be-like`],
    ['3.2.4 a higher version with one digit after it', `cc-${trace}-${span}-010`],
    ['3.2.4 a higher version with flags in upper case', `cc-${trace}-${span}-0F`],
    ['3.2.4 a higher version with a trace id of 33 digits', `cc-${trace}0-${span}-01`],
    ['RFC 9110, 5.6.3 NBSP is not a blank', `${nbsp}${valid}`],
    ['RFC 9110, 5.6.3 a vertical tab is not a blank', `\v${valid}`],
    ['RFC 9110, 5.6.3 a line feed is not a blank', `${valid}\n`],
    ['RFC 9110, 5.6.3 a carriage return is not a blank', `${valid}\r`],
    ['RFC 9110, 5.6.3 a form feed is not a blank', `${valid}\f`],
    ['RFC 9110, 5.6.3 a byte order mark is not a blank', `\ufeff${valid}`],
    ['RFC 9110, 5.6.3 NUL is not a blank', `${valid}\0`],
    ['a blank within', `00-${trace} -${span}-01`],
    ['quotes around', `"${valid}"`],
  ])('%s', (_name, header) => {
    const { context, refusals } = extractFrom(w3cTraceContext(), { traceparent: header, tracestate: 'foo=1' })

    expectNewTrace(context.get(traceContext))
    expect(refusals).toEqual(['malformed traceparent'])
  })

  it.each<[name: string, header: string | string[]]>([
    ['RFC 9110, 5.3 two equal lines', [valid, valid]],
    ['RFC 9110, 5.3 two lines', [valid, `00-${trace}-${'1'.repeat(16)}-01`]],
    ['RFC 9110, 5.3 two lines joined', `${valid}, ${valid}`],
    ['RFC 9110, 5.3 two lines joined without a blank', `${valid},${valid}`],
    ['RFC 9110, 5.3 an empty line and one', `, ${valid}`],
    ['RFC 9110, 5.3 one and an empty line', [valid, '']],
    ['RFC 9110, 5.3 a higher version whose tail hides a second line', [`cc-${trace}-${span}-01-tail`, valid]],
    ['RFC 9110, 5.3 a higher version and a second line', [`cc-${trace}-${span}-01`, valid]],
    ['RFC 9110, 5.3 a comma only', ','],
  ])('%s', (_name, header) => {
    const { context, refusals } = extractFrom(w3cTraceContext(), { traceparent: header })

    expectNewTrace(context.get(traceContext))
    expect(refusals).toEqual(['duplicate traceparent'])
  })

  it.each<[name: string, headers: Record<string, string>]>([
    ['3.2.1 no header', {}],
    ['3.2.1 the name with a dash', { 'trace-parent': valid }],
    ['3.2.1 the name with a dot', { 'trace.parent': valid }],
    ['3.3 a tracestate alone', { tracestate: 'foo=1' }],
  ])('%s', (_name, headers) => {
    const { context, refusals } = extractFrom(w3cTraceContext(), headers)

    expectNewTrace(context.get(traceContext))
    expect(refusals).toEqual([])
  })
})

describe('the name of traceparent', () => {
  it.each(['traceparent', 'TraceParent', 'TRACEPARENT', 'TrAcEpArEnT'])('is found as %s (3.2.1)', (name) => {
    const { context } = extractFrom(w3cTraceContext(), { [name]: valid })

    expect(context.get(traceContext)?.traceId).toBe(trace)
  })

  it('is one name when two lines differ in case only (3.2.1)', () => {
    const { context, refusals } = extractFrom(w3cTraceContext(), { traceparent: valid, TraceParent: valid })

    expect(context.get(traceContext)?.traceId).not.toBe(trace)
    expect(refusals).toEqual(['duplicate traceparent'])
  })
})

function expectNewTrace(found: unknown): void {
  expect(found).toMatchObject({
    traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
    parentSpanId: undefined,
    link: undefined,
    flags: 2,
    sampling: 'defer',
  })
  expect((found as { traceId: string }).traceId).not.toBe(trace)
  expect(String((found as { state: unknown }).state)).toBe('')
}
