import { ContextVar, LogicalContext } from 'logical-context'
import {
  b3,
  composite,
  type Carrier,
  jaeger,
  type Propagator,
  xRequestId,
  w3cBaggage,
  w3cTraceContext,
} from 'logical-context/propagators'
import { requestId as requestIdVar, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import { extractFrom, injectInto } from '../contracts/exchange.ts'

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

  it('begins one trace if nobody finds one', () => {
    const { context, refusals } = extractFrom(composite([w3cTraceContext(), b3(), jaeger()]), {})

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, sampling: 'defer' })
    expect(refusals).toEqual([])
  })

  it('keeps a decision without ids, whoever began the trace', () => {
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

  it('gives the context as it is for an empty list', () => {
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
    ['null', [null], /^composite: expected a propagator with fields, extract and inject, got null\.$/],
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
      'a propagator whose fields are no list',
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
