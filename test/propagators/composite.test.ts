import { ContextVar, LogicalContext } from 'logical-context'
import {
  b3,
  composite,
  type Carrier,
  carrierOf,
  jaeger,
  type Propagator,
  xRequestId,
  w3cBaggage,
  w3cTraceContext,
} from 'logical-context/propagators'
import { extractFrom, injectInto } from 'logical-context/testing'
import { requestId as requestIdVar, traceContext } from 'logical-context/variables'
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest'

const w3cTrace = 'a'.repeat(32)
const b3Trace = 'b'.repeat(32)
const jaegerTrace = 'c'.repeat(32)
const span = '1'.repeat(16)

const w3cHeader = { traceparent: `00-${w3cTrace}-${span}-01` }
const b3Header = { b3: `${b3Trace}-${span}-1` }
const jaegerHeader = { 'uber-trace-id': `${jaegerTrace}:${span}:0:1` }

describe('composite, extracting', () => {
  it.each<[name: string, list: Propagator[], headers: Record<string, string>, traceId: string]>([
    [
      'the first of the list, if all find one',
      [w3cTraceContext(), b3(), jaeger()],
      { ...b3Header, ...jaegerHeader, ...w3cHeader },
      w3cTrace,
    ],
    [
      'the first of the list, in another order',
      [jaeger(), b3(), w3cTraceContext()],
      { ...w3cHeader, ...b3Header, ...jaegerHeader },
      jaegerTrace,
    ],
    ['the second, if the first finds none', [w3cTraceContext(), b3()], b3Header, b3Trace],
    ['the third, if the others find none', [w3cTraceContext(), b3(), jaeger()], jaegerHeader, jaegerTrace],
    [
      'the second, if the first finds a malformed one',
      [w3cTraceContext(), b3()],
      { ...b3Header, traceparent: 'x' },
      b3Trace,
    ],
    [
      'the second, if the first finds a decision without ids',
      [b3(), w3cTraceContext()],
      { ...w3cHeader, b3: '0' },
      w3cTrace,
    ],
  ])('takes the trace of %s', (_name, list, headers, traceId) => {
    expect(extractFrom(composite(list), headers).context.get(traceContext)?.traceId).toBe(traceId)
  })

  it('begins one trace if no format finds one', () => {
    const { context, refusals } = extractFrom(composite([w3cTraceContext(), b3(), jaeger()]), {})

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, sampling: 'defer' })
    expect(refusals).toEqual([])
  })

  it('keeps a decision without ids, also if another format began the trace', () => {
    for (const list of [
      [w3cTraceContext(), b3()],
      [b3(), w3cTraceContext()],
    ]) {
      expect(extractFrom(composite(list), { b3: 'd' }).context.get(traceContext)?.sampling).toBe('debug')
    }
  })

  it('links to the first trace that is found, if traces are restarted', () => {
    const { context, refusals } = extractFrom(
      composite([b3(), w3cTraceContext()]),
      { ...w3cHeader, ...b3Header },
      { trace: 'restart' },
    )

    expect(context.get(traceContext)?.link).toEqual({ traceId: b3Trace, spanId: span })
    expect(refusals).toEqual(['refused b3'])
  })

  it('takes all that its propagators find', () => {
    const tenant = new ContextVar<string>('tenant')
    const all = composite([w3cTraceContext(), w3cBaggage({ members: { tenant } }), xRequestId()])

    const { context } = extractFrom(all, { ...w3cHeader, baggage: 'tenant=acme', 'x-request-id': 'abc' })

    expect([context.get(traceContext)?.traceId, context.get(tenant), context.get(requestIdVar)]).toEqual([
      w3cTrace,
      'acme',
      'abc',
    ])
  })

  it('takes the request id of the first header that has one in the list', () => {
    const both = composite([xRequestId({ generate: () => 'new' }), xRequestId({ header: 'x-correlation-id' })])

    expect(extractFrom(both, { 'x-request-id': 'a', 'x-correlation-id': 'b' }).context.get(requestIdVar)).toBe('a')
  })

  it('returns the context unchanged for an empty list', () => {
    expect(extractFrom(composite([]), w3cHeader).context).toBe(LogicalContext.empty)
  })
})

describe('composite, injecting', () => {
  it('writes all formats', () => {
    const { context } = extractFrom(w3cTraceContext(), w3cHeader)

    const { headers } = injectInto(composite([w3cTraceContext(), b3(), b3({ inject: 'multi' }), jaeger()]), context)

    expect(Object.keys(headers).toSorted()).toEqual([
      'b3',
      'traceparent',
      'uber-trace-id',
      'x-b3-parentspanid',
      'x-b3-sampled',
      'x-b3-spanid',
      'x-b3-traceid',
    ])
  })

  it('leaves a field to the first that writes it', () => {
    const writer = (text: string): Propagator => ({
      fields: ['x-own'],
      extract: (context) => context,
      inject(_context, carrier: Carrier) {
        if (!carrier.has('x-own')) carrier.set('x-own', text)
      },
    })

    const { headers } = injectInto(composite([writer('first'), writer('second')]), LogicalContext.empty)

    expect(headers).toEqual({ 'x-own': 'first' })
  })
})

describe('composite, registered', () => {
  it('owns the fields of all, each once', () => {
    const fields = composite([w3cTraceContext(), b3(), b3({ inject: 'multi' }), xRequestId(), w3cTraceContext()]).fields

    expect(fields).toEqual([
      'traceparent',
      'tracestate',
      'b3',
      'x-b3-traceid',
      'x-b3-spanid',
      'x-b3-parentspanid',
      'x-b3-sampled',
      'x-b3-flags',
      'x-request-id',
    ])
  })

  it('does not change with its list', () => {
    const list = [w3cTraceContext()]
    const one = composite(list)

    list.push(b3())

    expect(extractFrom(one, b3Header).context.get(traceContext)?.parentSpanId).toBe(undefined)
  })

  it('may be a part of another', () => {
    const nested = composite([composite([b3()]), composite([w3cTraceContext()])])

    expect(extractFrom(nested, { ...w3cHeader, ...b3Header }).context.get(traceContext)?.traceId).toBe(b3Trace)
  })

  it.each<[name: string, list: unknown, message: RegExp]>([
    ['no list', w3cTraceContext(), /^composite: expected an array of propagators, got \{/],
    ['nothing', undefined, /^composite: expected an array of propagators, got undefined\./],
    [
      'a factory that was not called',
      [w3cTraceContext],
      /^composite: expected a propagator .*, got \[Function: w3cTraceContext\]\. Call it: w3cTraceContext\(\)\./,
    ],
    [
      'a promise of a propagator',
      [Promise.resolve(w3cTraceContext())],
      /^composite: expected a propagator .*, got Promise \{.*\}\. Await it\.$/s,
    ],
    ['null', [null], /^composite: expected a propagator with fields, extract and inject, got null\.$/],
    [
      'a propagator whose fields are variables',
      [{ fields: [new ContextVar('v')], extract() {}, inject() {} }],
      /^composite: expected a propagator with fields, extract and inject, got \{ .* \}\.$/s,
    ],
    ['a hole', [undefined], /^composite: expected a propagator with fields, extract and inject, got undefined\.$/],
    [
      'a propagator without inject()',
      [{ fields: [], extract() {} }],
      /^composite: expected a propagator with fields, extract and inject, got \{ .* \}\.$/,
    ],
    [
      'a propagator without extract()',
      [{ fields: [], inject() {} }],
      /^composite: expected a propagator with fields, extract and inject, got \{ .* \}\.$/,
    ],
    [
      'a propagator whose fields are not a list',
      [{ fields: 'b3', extract() {}, inject() {} }],
      /^composite: expected a propagator with fields, extract and inject, got \{ .* \}\.$/,
    ],
    [
      'two of the list baggage',
      [w3cBaggage(), w3cBaggage()],
      /^composite: expected one propagator of 'baggage', got several\. Declare all members in one\./,
    ],
    [
      'two of the list baggage, one nested',
      [w3cBaggage(), composite([w3cBaggage()])],
      /^composite: expected one propagator of 'baggage', got several\./,
    ],
  ])('throws for %s', (_name, list, message) => {
    expect(() => composite(list as never)).toThrow(message)
    expect(() => composite(list as never)).toThrow(TypeError)
  })
})

describe('composite, with an item that fails', () => {
  const failing = (method: Partial<Propagator>): Propagator => ({
    fields: ['x-own', 'x-other'],
    extract: (context) => context,
    inject() {},
    ...method,
  })
  const logged = vi.spyOn(console, 'error')
  beforeEach(() => logged.mockReset().mockImplementation(() => {}))
  afterAll(() => logged.mockRestore())
  const fail = (): never => {
    throw new Error('boom')
  }
  const later: unknown = async () => {}
  const reject = () => Promise.reject(new Error('rejected'))

  it.each<[name: string, extract: unknown]>([
    ['throws', fail],
    ['throws undefined', () => throwing(undefined)],
    ['returns nothing', () => undefined],
    ['returns a promise', () => Promise.resolve(LogicalContext.empty)],
    ['returns a promise that rejects', reject],
    ['returns another object', () => ({})],
  ])('keeps what the other items found if extract %s', async (_name, extract) => {
    const all = composite([w3cTraceContext(), failing({ extract: extract as never }), xRequestId()])

    const { context, refusals } = extractFrom(all, { ...w3cHeader, 'x-request-id': 'abc' })
    await rejectionsAreHandled()

    expect([context.get(traceContext)?.traceId, context.get(requestIdVar)]).toEqual([w3cTrace, 'abc'])
    expect(refusals).toEqual(['malformed x-own'])
  })

  it.each<[name: string, inject: unknown]>([
    ['throws', fail],
    ['returns a promise', () => Promise.resolve()],
    ['returns a promise that rejects', reject],
  ])('writes what the other items write if inject %s', async (_name, inject) => {
    const { context } = extractFrom(xRequestId(), { 'x-request-id': 'abc' })
    const all = composite([failing({ inject: inject as never }), xRequestId()])

    const { headers, refusals } = injectInto(all, context)
    await rejectionsAreHandled()

    expect(headers).toEqual({ 'x-request-id': 'abc' })
    expect(refusals).toEqual(['malformed x-own'])
  })

  it('logs the first error of an item, and no later one', () => {
    const all = composite([failing({ extract: fail }), failing({ inject: fail })])

    for (let i = 0; i < 3; i++) injectInto(all, extractFrom(all, {}).context)

    expect(logged.mock.calls.map(([line]) => String(line).split('\n')[0])).toEqual([
      "logical-context: extract() of the propagator of 'x-own' failed. It is reported once. Error: boom",
      "logical-context: inject() of the propagator of 'x-own' failed. It is reported once. Error: boom",
    ])
  })

  it('does not throw if refuse throws', () => {
    const all = composite([w3cTraceContext(), failing({ extract: fail, inject: fail })])
    const refuse = fail

    const peer = { trace: 'continue', values: true, refuse } as const
    const context = all.extract(LogicalContext.empty, carrierOf({ traceparent: 'x' }), peer)
    all.inject(context, carrierOf({}), { trace: true, values: true, refuse })

    expect(context).toBeInstanceOf(LogicalContext)
  })

  it.each<[name: string, item: Propagator, message: string]>([
    [
      'an async extract',
      failing({ extract: (async () => LogicalContext.empty) as never }),
      'composite: expected extract() of a propagator to be a synchronous function, got [AsyncFunction: extract].',
    ],
    [
      'an async inject',
      failing({ inject: later as never }),
      'composite: expected inject() of a propagator to be a synchronous function, got [AsyncFunction: later].',
    ],
    [
      'a generator for extract',
      failing({ extract: function* extract() {} as never }),
      'composite: expected extract() of a propagator to be a synchronous function, got [GeneratorFunction: extract].',
    ],
  ])('throws at its creation for %s', (_name, item, message) => {
    expect(() => composite([item])).toThrow(new TypeError(message))
  })
})

describe('composite, frozen', () => {
  it('has fields and methods that a program cannot change', () => {
    const all = composite([w3cTraceContext()])

    expect(() => (all.fields as string[]).push('x')).toThrow(TypeError)
    expect(() => Object.assign(all, { fields: [] })).toThrow(TypeError)
    expect(all.fields).toEqual(['traceparent', 'tracestate'])
  })

  it('keeps its fields if an item changes its own', () => {
    const fields = ['x-own']
    const all = composite([{ fields, extract: (context) => context, inject() {} }])

    fields.push('baggage')

    expect(all.fields).toEqual(['x-own'])
  })
})

function throwing(value: unknown): never {
  throw value
}

/** The test runner fails the run for an unhandled rejection, which is emitted after the microtasks. */
async function rejectionsAreHandled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}
