import { LogicalContext } from 'logical-context'
import { xRequestId } from 'logical-context/propagators'
import { extractFrom, injectInto } from 'logical-context/testing'
import { requestId as requestIdVar } from 'logical-context/variables'
import { describe, expect, it, vi } from 'vitest'

const generated = xRequestId({ generate: () => 'generated-1' })

describe('requestId, extracting', () => {
  it.each<[name: string, id: string | string[], refusals: string[], taken?: string]>([
    ['takes an id', 'abc-123._X', [], 'abc-123._X'],
    ['takes an id of 128 characters', 'x'.repeat(128), [], 'x'.repeat(128)],
    ['replaces an id of 129 characters', 'x'.repeat(129), ['malformed x-request-id']],
    ['replaces an empty id', '', ['malformed x-request-id']],
    ['replaces a blank id', ' ', ['malformed x-request-id']],
    ['replaces an id with a blank', 'a b', ['malformed x-request-id']],
    ['replaces an id with a line end', 'a\r\nb', ['malformed x-request-id']],
    ['replaces an id with an escape for a terminal', '\u001b[31ma', ['malformed x-request-id']],
    ['replaces an id beyond ASCII', 'é', ['malformed x-request-id']],
    ['replaces two ids, and takes neither', ['a', 'b'], ['duplicate x-request-id']],
    ['replaces two equal ids', ['a', 'a'], ['duplicate x-request-id']],
    ['replaces two ids on one line', 'a, b', ['duplicate x-request-id']],
  ])('%s', (_name, id, expected, taken = 'generated-1') => {
    const { context, refusals } = extractFrom(generated, { 'X-Request-Id': id })

    expect(context.get(requestIdVar)).toBe(taken)
    expect(refusals).toEqual(expected)
  })

  it.each(['restart', 'ignore'] as const)(
    'replaces the id of a peer whose trace it is to %s, and reports that',
    (trace) => {
      const { context, refusals } = extractFrom(generated, { 'x-request-id': 'abc' }, { trace })

      expect(context.get(requestIdVar)).toBe('generated-1')
      expect(refusals).toEqual(['refused x-request-id'])
    },
  )

  it('accepts the id of a peer that may set no values: an id is not a value', () => {
    const { context } = extractFrom(generated, { 'x-request-id': 'abc' }, { values: false })

    expect(context.get(requestIdVar)).toBe('abc')
  })

  it('generates an id, without a refusal, if there is none', () => {
    const { context, refusals } = extractFrom(generated, {})

    expect(context.get(requestIdVar)).toBe('generated-1')
    expect(refusals).toEqual([])
  })

  it('generates a UUID by default', () => {
    const { context } = extractFrom(xRequestId(), {})

    expect(context.get(requestIdVar)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  })

  it('keeps an id that is in the context already', () => {
    const before = LogicalContext.empty.with(requestIdVar, 'before')

    expect(extractFrom(generated, { 'x-request-id': 'abc' }, {}, before).context).toBe(before)
  })

  it('reads the header of the option, in any case', () => {
    const { context } = extractFrom(xRequestId({ header: 'X-Correlation-ID' }), { 'x-correlation-id': 'abc' })

    expect(context.get(requestIdVar)).toBe('abc')
  })
})

describe('requestId, injecting', () => {
  const context = LogicalContext.empty.with(requestIdVar, 'abc')

  it('writes the id', () => {
    expect(injectInto(generated, context).headers).toEqual({ 'x-request-id': 'abc' })
  })

  it('writes to the header of the option, in lower case', () => {
    expect(injectInto(xRequestId({ header: 'X-Correlation-ID' }), context).headers).toEqual({
      'x-correlation-id': 'abc',
    })
  })

  it('goes where the trace goes, whatever values may', () => {
    expect(injectInto(generated, context, { trace: false }).headers).toEqual({})
    expect(injectInto(generated, context, { values: false }).headers).toEqual({ 'x-request-id': 'abc' })
  })

  it('leaves alone what the caller has set', () => {
    expect(injectInto(generated, context, {}, { 'X-Request-ID': 'mine' }).headers).toEqual({ 'X-Request-ID': 'mine' })
  })

  it.each<[name: string, id: string]>([
    ['a line end', 'a\r\nx-admin: 1'],
    ['a blank', 'a b'],
    ['nothing', ''],
  ])('does not write an id of ours with %s, and says so', (_name, id) => {
    const { headers, refusals } = injectInto(generated, LogicalContext.empty.with(requestIdVar, id))

    expect(headers).toEqual({})
    expect(refusals).toEqual(['malformed x-request-id'])
  })

  it('writes and refuses nothing without an id', () => {
    expect(injectInto(generated, LogicalContext.empty)).toStrictEqual({ headers: {}, refusals: [] })
  })
})

describe('requestId, registered', () => {
  it.each<[name: string, options: unknown, message: string]>([
    [
      'an unknown option',
      { name: 'x' },
      "xRequestId: unknown option 'name', expected one of: header, generate, parse, format.",
    ],
    ['an empty header', { header: '' }, "xRequestId: option 'header' expected the name of a header, got ''."],
    [
      'a header with a blank',
      { header: 'a b' },
      "xRequestId: option 'header' expected the name of a header, got 'a b'.",
    ],
    ['a header with a colon', { header: 'a:' }, "xRequestId: option 'header' expected the name of a header, got 'a:'."],
    [
      'a list for a header',
      { header: ['a'] },
      "xRequestId: option 'header' expected the name of a header, got [ 'a' ].",
    ],
    [
      'a generate that is not a function',
      { generate: 'uuid' },
      "xRequestId: option 'generate' expected a synchronous function, got 'uuid'.",
    ],
    [
      'an async generate',
      { generate: async () => 'a' },
      "xRequestId: option 'generate' expected a synchronous function, got [AsyncFunction: generate].",
    ],
  ])('throws for %s', (_name, options, message) => {
    expect(() => xRequestId(options as never)).toThrow(new TypeError(message))
  })

  it.each<[name: string, id: () => unknown]>([
    ['an id that may not be used', () => 'a b'],
    ['an id that is too long', () => 'x'.repeat(129)],
    ['nothing', () => undefined],
    ['a promise of an id', () => Promise.resolve('a')],
    ['a promise that rejects', () => Promise.reject(new Error('rejected'))],
  ])('generates a UUID and logs one line if generate returns %s', async (_name, id) => {
    using logged = vi.spyOn(console, 'error').mockImplementation(() => {})
    const faulty = xRequestId({ generate: id as () => string })

    const ids = [1, 2].map(() => extractFrom(faulty, {}).context.get(requestIdVar))
    // An unhandled rejection is emitted after the microtasks, and fails the run.
    await new Promise((resolve) => setImmediate(resolve))

    expect(ids).toEqual([expect.stringMatching(/^[\da-f-]{36}$/), expect.stringMatching(/^[\da-f-]{36}$/)])
    expect(logged.mock.calls).toEqual([
      [expect.stringMatching(/the option 'generate' of xRequestId failed.* Expected an id of 1 to 128 /)],
    ])
  })

  it('generates a UUID if generate throws', () => {
    using logged = vi.spyOn(console, 'error').mockImplementation(() => {})
    const faulty = xRequestId({
      generate: () => {
        throw new Error('boom')
      },
    })

    expect(extractFrom(faulty, {}).context.get(requestIdVar)).toMatch(/^[\da-f-]{36}$/)
    expect(logged).toHaveBeenCalledOnce()
  })
})

describe('xRequestId, with another scheme', () => {
  const header = 'x-amzn-trace-id'
  const root = '1-67891233-abcdef012345678912345678'
  const parse = (text: string) => /(?:^|;)Root=([\w-]+)/.exec(text)?.[1]

  it('takes the id that parse returns', () => {
    const { context, refusals } = extractFrom(xRequestId({ header, parse }), {
      [header]: `Self=1-67891234-12456789abcdef012345678a;Root=${root}`,
    })

    expect(context.get(requestIdVar)).toBe(root)
    expect(refusals).toEqual([])
  })

  it.each<[name: string, parse: (text: string) => unknown]>([
    ['undefined', () => undefined],
    ['an empty text', () => ''],
    ['a text with other characters', () => 'a b'],
    ['a text that is too long', () => 'a'.repeat(129)],
    ['a number', () => 7],
    ['an error', (text) => JSON.parse(text)],
  ])('generates an id if parse returns %s', (_name, wrong) => {
    const propagator = xRequestId({ header, parse: wrong as never, generate: () => 'generated-1' })

    const { context, refusals } = extractFrom(propagator, { [header]: 'Root=1' })

    expect(context.get(requestIdVar)).toBe('generated-1')
    expect(refusals).toEqual([`malformed ${header}`])
  })

  it('does not call parse for a peer whose trace is not continued', () => {
    const never = vi.fn<(text: string) => string>()

    extractFrom(xRequestId({ parse: never }), { 'x-request-id': 'a' }, { trace: 'restart' })

    expect(never).not.toHaveBeenCalled()
  })

  it('refuses and reports a promise of parse or format once', async () => {
    using logged = vi.spyOn(console, 'error').mockImplementation(() => {})
    const parseLater = () => Promise.reject(new Error('boom')) as never
    const formatLater = () => Promise.reject(new Error('boom')) as never
    const propagator = xRequestId({ parse: parseLater, format: formatLater, generate: () => 'generated-1' })

    const { context } = extractFrom(propagator, { 'x-request-id': 'a' })
    const written = [1, 2].map(() => injectInto(propagator, context))
    await new Promise((resolve) => setImmediate(resolve))

    expect(context.get(requestIdVar)).toBe('generated-1')
    expect(written.map(({ headers, refusals }) => [headers, refusals])).toEqual([
      [{}, ['malformed x-request-id']],
      [{}, ['malformed x-request-id']],
    ])
    expect(logged).toHaveBeenCalledTimes(2)
  })

  it.each<[name: string, format: (id: string) => string | undefined, headers: object, refusals: string[]]>([
    ['the text', (id) => `Root=${id}`, { [header]: `Root=${root}` }, []],
    ['no header for undefined', () => undefined, {}, []],
    ['no text that cannot be a header', () => 'a\r\nb', {}, [`malformed ${header}`]],
  ])('writes %s of format', (_name, format, headers, refusals) => {
    const written = injectInto(xRequestId({ header, format }), LogicalContext.empty.with(requestIdVar, root))

    expect(written.headers).toEqual(headers)
    expect(written.refusals).toEqual(refusals)
  })

  it.each(['parse', 'format'])('throws a TypeError for an async %s', (name) => {
    expect(() => xRequestId({ [name]: async () => 'a' })).toThrow(
      `xRequestId: option '${name}' expected a synchronous function`,
    )
  })
})
