import { ContextVar, LogicalContext } from 'logical-context'
import { requestTimeout, type RequestTimeoutOptions } from 'logical-context/propagators'
import { extractFrom, injectInto } from 'logical-context/testing'
import { deadline as deadlineVar } from 'logical-context/variables'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const now = 1_800_000_000_000

beforeEach(() => {
  vi.useFakeTimers({ now, toFake: ['Date'] })
})

afterEach(() => {
  vi.useRealTimers()
})

/** The milliseconds that are left of the deadline in a context. */
const left = (context: LogicalContext) => {
  const end = context.get(deadlineVar)
  return end === undefined ? undefined : end - now
}

describe('deadline, extracting grpc-timeout', () => {
  it.each<[name: string, text: string, ms: number]>([
    ['hours', '1H', 3_600_000],
    ['minutes', '5M', 300_000],
    ['seconds', '30S', 30_000],
    ['milliseconds', '250m', 250],
    ['microseconds', '999999u', 999],
    ['nanoseconds', '99999999n', 99],
    ['less than a millisecond, which is over', '1n', 0],
    ['eight digits', '00000250m', 250],
    ['zeros in front', '01S', 1000],
    ['blanks around', ' 1S\t', 1000],
  ])('reads %s', (_name, text, ms) => {
    const { context, refusals } = extractFrom(requestTimeout(), { 'Grpc-Timeout': text })

    expect(left(context)).toBe(ms)
    expect(refusals).toEqual([])
  })

  it.each<[name: string, text: string]>([
    ['nothing', ''],
    ['no unit', '1'],
    ['no number', 'S'],
    ['zero, which is not a positive number', '0S'],
    ['zeros', '00000000m'],
    ['nine digits', '000000001S'],
    ['an unknown unit', '1s'],
    ['another unit', '1h'],
    ['two units', '1mS'],
    ['a sign', '-1S'],
    ['a plus', '+1S'],
    ['a fraction', '1.5S'],
    ['an exponent', '1e3m'],
    ['hex', '0x1S'],
    ['a blank between', '1 S'],
    ['words', 'soon'],
    ['digits that are not ASCII', '١S'],
    ['a line end', '1S\n'],
    ['a megabyte of digits', '1'.repeat(1_000_000)],
  ])('refuses %s', (_name, text) => {
    const { context, refusals } = extractFrom(requestTimeout(), { 'grpc-timeout': text })

    expect(context.has(deadlineVar)).toBe(false)
    expect(refusals).toEqual(['malformed grpc-timeout'])
  })

  it('refuses two lines', () => {
    const { context, refusals } = extractFrom(requestTimeout(), { 'grpc-timeout': ['1S', '1S'] })

    expect(context.has(deadlineVar)).toBe(false)
    expect(refusals).toEqual(['duplicate grpc-timeout'])
  })

  it('refuses it from a peer that may set no values', () => {
    const { context, refusals } = extractFrom(requestTimeout(), { 'grpc-timeout': '1S' }, { values: false })

    expect(context).toBe(LogicalContext.empty)
    expect(refusals).toEqual(['refused grpc-timeout'])
  })

  it.each<[name: string, text: string, options: RequestTimeoutOptions, ms: number]>([
    ['to an hour', '2H', {}, 3_600_000],
    ['from a peer that requests years', '99999999H', {}, 3_600_000],
    ['to the limit it is told', '1H', { maxMs: 500 }, 500],
    ['to nothing', '1S', { maxMs: 0 }, 0],
  ])('cuts it, and says so: %s', (_name, text, options, ms) => {
    const { context, refusals } = extractFrom(requestTimeout(options), { 'grpc-timeout': text })

    expect(left(context)).toBe(ms)
    expect(refusals).toEqual(['truncated grpc-timeout'])
  })

  it.each<[name: string, inheritedMs: number, ms: number]>([
    ['the inherited one', 500, 500],
    ["the peer's", 2000, 1000],
    ['the inherited one that is over', -5, -5],
  ])('keeps the earlier one: %s', (_name, inheritedMs, ms) => {
    const inherited = LogicalContext.empty.with(deadlineVar, now + inheritedMs)

    expect(left(extractFrom(requestTimeout(), { 'grpc-timeout': '1S' }, {}, inherited).context)).toBe(ms)
  })

  it('sets nothing without a header', () => {
    const { context, refusals } = extractFrom(requestTimeout(), {}, { values: false })

    expect(context).toBe(LogicalContext.empty)
    expect(refusals).toEqual([])
  })
})

describe('deadline, extracting milliseconds', () => {
  const propagator = requestTimeout({ header: 'X-Request-Timeout-Ms', format: 'milliseconds' })

  it.each<[name: string, text: string, ms: number | undefined]>([
    ['a number', '250', 250],
    ['zero, which is over', '0', 0],
    ['nothing', '', undefined],
    ['a unit', '250m', undefined],
    ['a fraction', '1.5', undefined],
    ['a sign', '-1', undefined],
    ['16 digits', '1'.repeat(16), undefined],
  ])('reads %s', (_name, text, ms) => {
    const { context, refusals } = extractFrom(propagator, { 'x-request-timeout-ms': text })

    expect(left(context)).toBe(ms)
    expect(refusals).toEqual(ms === undefined ? ['malformed x-request-timeout-ms'] : [])
  })

  it('writes the number', () => {
    const context = LogicalContext.empty.with(deadlineVar, now + 1500)

    expect(injectInto(propagator, context).headers).toEqual({ 'x-request-timeout-ms': '1500' })
  })
})

describe('deadline, injecting', () => {
  it.each<[name: string, ms: number, text: string]>([
    ['what is left', 1500, '1500m'],
    ['no more than there is', 1.9, '1m'],
    ['eight digits', 99_999_999, '99999999m'],
    ['more, in seconds, rounded down', 100_000_999, '100000S'],
    ['more than can be written', 1e15, '99999999S'],
    ['what is over, as one millisecond', 0, '1m'],
    ['what is long over, as one millisecond', -1000, '1m'],
  ])('writes %s', (_name, ms, text) => {
    const { headers, refusals } = injectInto(requestTimeout(), LogicalContext.empty.with(deadlineVar, now + ms))

    expect(headers).toEqual({ 'grpc-timeout': text })
    expect(refusals).toEqual([])
  })

  it.each<[name: string, end: unknown]>([
    ['no number', 'soon'],
    ['NaN', Number.NaN],
    ['for ever', Number.POSITIVE_INFINITY],
  ])('does not write %s, and says so', (_name, end) => {
    const { headers, refusals } = injectInto(requestTimeout(), LogicalContext.empty.with(deadlineVar, end as number))

    expect(headers).toEqual({})
    expect(refusals).toEqual(['malformed grpc-timeout'])
  })

  it('writes and refuses nothing without a deadline', () => {
    expect(injectInto(requestTimeout(), LogicalContext.empty)).toEqual({ headers: {}, refusals: [] })
  })

  it('goes where its value may go', () => {
    const context = LogicalContext.empty.with(deadlineVar, now + 1000)
    const other = new ContextVar<string>('other')

    expect(injectInto(requestTimeout(), context, { values: false }).headers).toEqual({})
    expect(injectInto(requestTimeout(), context, { values: [other] }).headers).toEqual({})
    expect(injectInto(requestTimeout(), context, { values: [deadlineVar], trace: false }).headers).toEqual({
      'grpc-timeout': '1000m',
    })
  })

  it('leaves alone what the caller has set', () => {
    const context = LogicalContext.empty.with(deadlineVar, now + 1000)

    expect(injectInto(requestTimeout(), context, {}, { 'Grpc-Timeout': '5S' }).headers).toEqual({
      'Grpc-Timeout': '5S',
    })
  })

  it('shrinks with each hop', () => {
    const first = LogicalContext.empty.with(deadlineVar, now + 1000)
    const { headers } = injectInto(requestTimeout(), first)

    const { context: second } = extractFrom(requestTimeout(), headers)
    vi.setSystemTime(now + 400)

    expect(injectInto(requestTimeout(), second).headers).toEqual({ 'grpc-timeout': '600m' })
  })
})

describe('deadline, registered', () => {
  it.each<[name: string, options: unknown, message: string]>([
    ['an unknown option', { max: 1 }, "requestTimeout: unknown option 'max', expected one of: header, format, maxMs."],
    [
      'a header that is none',
      { header: 'a b' },
      "requestTimeout: option 'header' expected the name of a header, got 'a b'.",
    ],
    [
      'another format',
      { format: 'iso' },
      "requestTimeout: option 'format' expected 'grpc' or 'milliseconds', got 'iso'.",
    ],
    ['a negative limit', { maxMs: -1 }, "requestTimeout: option 'maxMs' expected a number of at least 0, got -1."],
    ['no number', { maxMs: '1s' }, "requestTimeout: option 'maxMs' expected a number of at least 0, got '1s'."],
  ])('throws for %s', (_name, options, message) => {
    expect(() => requestTimeout(options as never)).toThrow(new TypeError(message))
  })
})
