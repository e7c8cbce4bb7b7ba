import { type Context, defaultTextMapSetter, propagation, ROOT_CONTEXT, trace as otelTrace } from '@opentelemetry/api'
import {
  CompositePropagator,
  suppressTracing,
  unsuppressTracing,
  W3CBaggagePropagator,
  W3CTraceContextPropagator,
} from '@opentelemetry/core'
import { ContextVar, LogicalContext, run } from 'logical-context'
import {
  b3,
  type Carrier,
  composite,
  fromTextMapPropagator,
  type OtelContextLike,
  type Propagator,
  type TextMapGetterLike,
  type TextMapPropagatorLike,
  toTextMapPropagator,
  w3cBaggage,
  w3cTraceContext,
} from 'logical-context/propagators'
import { extractFrom, injectInto } from 'logical-context/testing'
import { baggage, TraceContext, traceContext, Tracestate } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import { emptyOtelContext, spanOf } from '../../src/propagators/text-map-propagator.ts'

const ourKey = Symbol.for('logical-context')
const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
const span = '00f067aa0ba902b7'
const [otherTrace, other] = ['a'.repeat(32), 'b'.repeat(16)]
const spanKey = Symbol.for('OpenTelemetry Context Key SPAN')

interface TraceState {
  get(key: string): string | undefined
  set(key: string, value: string): TraceState
  unset(key: string): TraceState
  serialize(): string
}

interface Span {
  spanContext(): {
    traceId: string
    spanId: string
    traceFlags: number
    isRemote?: boolean
    traceState?: TraceState | undefined
  }
}

const activeSpan = (context: OtelContextLike) => (context.getValue(spanKey) as Span | undefined)?.spanContext()

/** A format as OpenTelemetry's propagators are written: `X-Own: trace/span/flags[/state]`. */
const own: TextMapPropagatorLike = {
  fields: () => ['X-Own'],
  extract(context, carrier, getter) {
    const text = getter.get(carrier, 'X-Own')
    if (typeof text !== 'string') return context
    if (text === 'throw') throw new Error('cannot read it')
    const [traceId, spanId, flags, state] = text.split('/')
    const traceState = state === undefined ? undefined : { serialize: () => state }
    return context.setValue(spanKey, {
      spanContext: () => ({ traceId, spanId, traceFlags: Number(flags), traceState }),
    })
  },
  inject(context, carrier, setter) {
    const found = activeSpan(context)
    if (found === undefined) return
    if (found.traceFlags === 3) throw new Error('cannot write it')
    const state = found.traceState === undefined ? '' : `/${found.traceState.serialize()}`
    setter.set(carrier, 'X-Own', `${found.traceId}/${found.spanId}/${found.traceFlags}${state}`)
  },
}

const oddSpans: [name: string, active: unknown][] = [
  ['a span without a context', {}],
  ['a span whose context is nothing', { spanContext: () => undefined }],
  [
    'a span whose trace id is not text',
    { spanContext: () => ({ traceId: Array.from(trace), spanId: span, traceFlags: 1 }) },
  ],
  [
    'a span whose span id is not text',
    { spanContext: () => ({ traceId: trace, spanId: Array.from(span), traceFlags: 1 }) },
  ],
]

const getter: TextMapGetterLike = {
  keys: (carrier) => Object.keys(carrier as object),
  get: (carrier, key) => (carrier as Record<string, string | string[]>)[key],
}

const setter = {
  set(carrier: unknown, key: string, value: string) {
    ;(carrier as Record<string, string>)[key] = value
  },
}

describe('fromTextMapPropagator, extracting', () => {
  const propagator = fromTextMapPropagator(own)

  it('continues the trace in a span of its own', () => {
    const { context, refusals } = extractFrom(propagator, { 'x-own': `${trace}/${span}/1/a=1` })

    const found = context.get(traceContext) as TraceContext
    expect(found).toMatchObject({ traceId: trace, parentSpanId: span, flags: 1, sampling: 'accept' })
    expect(String(found.state)).toBe('a=1')
    expect(refusals).toEqual([])
  })

  it.each<[verdict: 'restart' | 'ignore', link: unknown]>([
    ['restart', { traceId: trace, spanId: span }],
    ['ignore', undefined],
  ])('follows the verdict %s', (verdict, link) => {
    const { context, refusals } = extractFrom(propagator, { 'x-own': `${trace}/${span}/1` }, { trace: verdict })

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, sampling: 'defer', link })
    expect(refusals).toEqual(['refused x-own'])
  })

  it.each<[name: string, text: string]>([
    ['a trace id of 31 digits', `${trace.slice(1)}/${span}/1`],
    ['a trace id in upper case', `${trace.toUpperCase()}/${span}/1`],
    ['a trace id of 33 digits', `${trace}0/${span}/1`],
    ['a trace id all zero', `${'0'.repeat(32)}/${span}/1`],
    ['a span id of 15 digits', `${trace}/${span.slice(0, -1)}/1`],
    ['a span id of 17 digits', `${trace}/${span}0/1`],
    ['a span id in upper case', `${trace}/${span.toUpperCase()}/1`],
    ['a span id all zero', `${trace}/${'0'.repeat(16)}/1`],
    ['no span id', trace],
    ['nothing', ''],
    ['what makes it throw', 'throw'],
  ])('does not trust it to have checked: %s', (_name, text) => {
    const { context, refusals } = extractFrom(propagator, { 'x-own': text })

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, sampling: 'defer' })
    expect(refusals).toEqual(['malformed x-own'])
  })

  it('ignores flags that are not a number', () => {
    const { context } = extractFrom(propagator, { 'x-own': `${trace}/${span}/x` })

    expect(context.get(traceContext)).toMatchObject({ traceId: trace, flags: 0 })
  })

  it.each(oddSpans)('takes for no trace %s', (_name, active) => {
    const odd = fromTextMapPropagator({ ...own, extract: (context) => context.setValue(spanKey, active) })

    const { context, refusals } = extractFrom(odd, { 'x-own': 'any' })

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined, sampling: 'defer' })
    expect(refusals).toEqual(['malformed x-own'])
  })

  it.each([257, 0xfd])('takes the flags that are known, and no others: of %i one', (flags) => {
    const { context } = extractFrom(propagator, { 'x-own': `${trace}/${span}/${flags}` })

    expect(context.get(traceContext)?.flags).toBe(1)
  })

  it('has an empty state if there is none, without a refusal', () => {
    const { context } = extractFrom(propagator, { 'x-own': `${trace}/${span}/1` })

    expect(context.get(traceContext)?.state).toBe(Tracestate.empty)
  })

  it('begins a trace without a header, and refuses nothing', () => {
    const { context, refusals } = extractFrom(propagator, {})

    expect(context.get(traceContext)).toMatchObject({ parentSpanId: undefined })
    expect(refusals).toEqual([])
  })

  it('keeps a trace that was found before', () => {
    const both = composite([w3cTraceContext(), propagator])

    const { context } = extractFrom(both, {
      traceparent: `00-${trace}-${span}-01`,
      'x-own': `${'a'.repeat(32)}/${span}/1`,
    })

    expect(context.get(traceContext)?.traceId).toBe(trace)
  })

  it('reads more than its fields if it does', () => {
    const wide = fromTextMapPropagator({ ...own, fields: () => ['other'] })

    const { context } = extractFrom(wide, { 'x-own': `${trace}/${span}/1` })

    expect(context.get(traceContext)?.traceId).toBe(trace)
  })

  it('complains of all its fields where it has read another one', () => {
    const wide = fromTextMapPropagator({ ...own, fields: () => ['Some', 'Other'] })

    const { refusals } = extractFrom(wide, { 'x-own': `${trace}/${span}/1` }, { trace: 'restart' })

    expect(refusals).toEqual(['refused some, other'])
  })

  it('does not own baggage, since no values cross', () => {
    const both = { ...own, fields: () => ['X-Own', 'baggage'] }

    expect(composite([fromTextMapPropagator(both), w3cBaggage()]).fields).toEqual(['x-own', 'baggage'])
  })

  it('returns from keys() those of its fields that exist', () => {
    const seen: string[][] = []
    const curious = fromTextMapPropagator({
      fields: () => ['A', 'B', 'C'],
      extract(context, carrier, { keys }) {
        seen.push(keys(carrier))
        return context
      },
      inject() {},
    })

    extractFrom(curious, { a: '1', c: '2', d: '3' })

    expect(seen).toEqual([['a', 'c']])
  })
})

describe('fromTextMapPropagator, injecting', () => {
  const propagator = fromTextMapPropagator(own)
  const at = (flags: number, state = Tracestate.empty) =>
    LogicalContext.empty.with(traceContext, new TraceContext({ traceId: trace, spanId: span, flags, state }))

  it('writes the span of the unit', () => {
    expect(injectInto(propagator, at(1)).headers).toEqual({ 'x-own': `${trace}/${span}/1` })
    expect(injectInto(propagator, at(0, Tracestate.parse('a=1'))).headers).toEqual({
      'x-own': `${trace}/${span}/0/a=1`,
    })
  })

  it('writes nothing where the trace may not go, nor without one, nor over the caller', () => {
    expect(injectInto(propagator, at(1), { trace: false }).headers).toEqual({})
    expect(injectInto(propagator, LogicalContext.empty).headers).toEqual({})
    expect(injectInto(propagator, at(1), {}, { 'X-OWN': 'mine' }).headers).toEqual({ 'X-OWN': 'mine' })
  })

  it('survives what it throws', () => {
    expect(injectInto(propagator, at(3)).headers).toEqual({})
  })

  it.each<[name: string, value: unknown]>([
    ['a line end', 'a\r\nb'],
    ['NUL', 'a\0'],
    ['a character beyond ASCII', 'é'],
    ['no text', 7],
  ])('does not write %s, and says so', (_name, value) => {
    const careless = fromTextMapPropagator({
      fields: () => ['x'],
      extract: (context) => context,
      inject: (_context, carrier, { set }) => set(carrier, 'x', value as string),
    })

    const { headers, refusals } = injectInto(careless, at(1))

    expect(headers).toEqual({})
    expect(refusals).toEqual(['malformed x'])
  })

  /** What an OpenTelemetry propagator is given to inject. */
  const givenToInject = (context: LogicalContext): OtelContextLike => {
    const given: OtelContextLike[] = []
    const curious = fromTextMapPropagator({
      fields: () => [],
      extract: (unchanged) => unchanged,
      inject: (otelContext) => given.push(otelContext),
    })

    injectInto(curious, context)

    expect(given).toHaveLength(1)
    return given[0] as OtelContextLike
  }

  it('passes a context that can be written', () => {
    const [own, other] = [Symbol('own'), Symbol('other')]
    const given = givenToInject(at(1))

    const changed = given.setValue(own, 1).setValue(other, 2)
    const without = changed.deleteValue(own)

    expect([given, changed, without].map((context) => context.getValue(own))).toEqual([undefined, 1, undefined])
    expect([given, changed, without].map((context) => context.getValue(other))).toEqual([undefined, 2, 2])
    expect(activeSpan(without)).toBe(activeSpan(given))
  })

  it('passes a span that is not remote and records nothing, with all methods', () => {
    const found = givenToInject(at(1)).getValue(spanKey) as Record<string, (...args: unknown[]) => unknown>
    const chained = ['setAttribute', 'setAttributes', 'addEvent', 'addLink', 'addLinks', 'setStatus', 'updateName']

    expect(found['spanContext']?.()).toEqual({
      traceId: trace,
      spanId: span,
      traceFlags: 1,
      traceState: undefined,
      isRemote: false,
    })
    expect(found['isRecording']?.()).toBe(false)
    expect(chained.filter((name) => found[name]?.('a', 1) !== found)).toEqual([])
    expect([found['end']?.(), found['recordException']?.(new Error())]).toEqual([undefined, undefined])
  })

  it('passes a trace state that can be read and changed', () => {
    const given = activeSpan(givenToInject(at(1, Tracestate.parse('a=1,b=2'))))
    const state = given?.traceState as TraceState

    expect([state.get('a'), state.get('b'), state.get('c')]).toEqual(['1', '2', undefined])
    expect(state.set('c', '3').serialize()).toBe('c=3,a=1,b=2')
    expect(state.unset('a').serialize()).toBe('b=2')
    expect(state.serialize()).toBe('a=1,b=2')
  })

  it.each<[name: string, value: unknown]>([
    ['one of ours', w3cTraceContext()],
    ['nothing', undefined],
    ['a function', () => own],
  ])('throws at registration for %s', (_name, value) => {
    expect(() => fromTextMapPropagator(value as never)).toThrow(
      /^fromTextMapPropagator: expected a propagator with fields\(\), extract\(\) and inject\(\), got /,
    )
  })
})

describe('toTextMapPropagator', () => {
  const tenant = new ContextVar<string>('tenant')
  const ours = composite([w3cTraceContext(), w3cBaggage({ members: { tenant } })])
  const headers = { traceparent: `00-${trace}-${span}-01`, tracestate: 'a=1', baggage: 'tenant=acme' }

  it('has the fields of its propagator', () => {
    expect(toTextMapPropagator(ours).fields()).toEqual(['traceparent', 'tracestate', 'baggage'])
  })

  it("extracts the caller's span as a remote one", () => {
    const context = toTextMapPropagator(ours).extract(emptyOtelContext, headers, getter)

    const found = activeSpan(context)
    expect(found).toMatchObject({ traceId: trace, spanId: span, traceFlags: 1, isRemote: true })
    expect(found?.traceState?.serialize()).toBe('a=1')
  })

  it('extracts no values by default, and those of a peer with `values`', () => {
    const careful = toTextMapPropagator(ours).extract(emptyOtelContext, headers, getter)
    const trusting = toTextMapPropagator(ours, { peer: { values: true } }).extract(emptyOtelContext, headers, getter)

    const held = [careful, trusting].map((context) => (context.getValue(ourKey) as LogicalContext).get(tenant))
    expect(held).toEqual([undefined, 'acme'])
  })

  it('extracts no remote span where there is none', () => {
    const none = toTextMapPropagator(ours).extract(emptyOtelContext, {}, getter)
    const restarted = toTextMapPropagator(ours, { peer: { trace: 'restart' } }).extract(
      emptyOtelContext,
      headers,
      getter,
    )

    expect([activeSpan(none), activeSpan(restarted)]).toEqual([undefined, undefined])
  })

  it('extracts no remote span by a propagator that begins no trace', () => {
    const context = toTextMapPropagator(w3cBaggage()).extract(emptyOtelContext, headers, getter)

    expect(activeSpan(context)).toBe(undefined)
  })

  it('joins an array of a getter, as lines of one field', () => {
    const twice = {
      traceparent: [headers.traceparent, headers.traceparent],
      baggage: ['a=1', 'tenant=acme', 'b=2'],
    }

    const context = toTextMapPropagator(ours, { peer: { values: true } }).extract(emptyOtelContext, twice, getter)

    expect(activeSpan(context)).toBe(undefined)
    const held = context.getValue(ourKey) as LogicalContext
    expect([held.get(tenant), String(held.get(baggage))]).toEqual(['acme', 'a=1, b=2'])
  })

  it('writes nothing while tracing is suppressed, as the propagators of OpenTelemetry', () => {
    const ours = toTextMapPropagator(composite([w3cTraceContext(), w3cBaggage({ members: { tenant } })]), {
      destination: { values: true },
    })
    const theirs = new CompositePropagator({
      propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()],
    })
    const span = { traceId: trace, spanId: '00f067aa0ba902b7', traceFlags: 1 }
    const active = propagation.setBaggage(
      otelTrace.setSpanContext(ROOT_CONTEXT, span),
      propagation.createBaggage({ tenant: { value: 'acme' } }),
    )
    const fieldsOf = (propagator: object, context: Context) => {
      const carrier: Record<string, string> = {}
      const write = () => (propagator as typeof theirs).inject(context, carrier, defaultTextMapSetter)
      run(LogicalContext.empty.with(tenant, 'acme'), write)
      return Object.keys(carrier)
    }

    for (const propagator of [ours, theirs]) {
      expect(fieldsOf(propagator, active)).toEqual(['traceparent', 'baggage'])
      expect(fieldsOf(propagator, suppressTracing(active))).toEqual([])
      expect(fieldsOf(propagator, unsuppressTracing(suppressTracing(active)))).toEqual(['traceparent', 'baggage'])
    }
  })

  it.each<[name: string, value: unknown]>([
    ['null', null],
    ['an object', {}],
    ['an array without text', [null]],
  ])('treats %s of a getter as an absent field', (_name, value) => {
    const getter = { keys: () => [], get: () => value as undefined }

    const context = toTextMapPropagator(w3cTraceContext()).extract(emptyOtelContext, {}, getter)

    expect(spanOf(context)).toBeUndefined()
  })

  it('has a carrier that has what can be read, and what was written', () => {
    const seen: unknown[] = []
    const look = (carrier: Carrier) => seen.push(['a', 'b'].map((name) => [carrier.has(name), carrier.get(name)]))
    const curious: Propagator = {
      fields: ['a', 'b'],
      extract(context, carrier) {
        look(carrier)
        return context
      },
      inject(_context, carrier) {
        look(carrier)
        carrier.set('a', '2')
        look(carrier)
      },
    }
    const carrier = { b: '1' }

    toTextMapPropagator(curious).extract(emptyOtelContext, carrier, getter)
    toTextMapPropagator(curious).inject(emptyOtelContext, carrier, setter)

    // What a carrier holds already, no setter of OpenTelemetry's can tell.
    const nothing = [
      [false, undefined],
      [false, undefined],
    ]
    expect(seen).toEqual([[nothing[0], [true, '1']], nothing, [[true, '2'], nothing[1]]])
    expect(carrier).toEqual({ a: '2', b: '1' })
  })

  it("injects the active span of OpenTelemetry's context", () => {
    const context = own.extract(emptyOtelContext, { 'X-Own': `${trace}/${span}/1/a=1` }, getter)
    const carrier = {}

    toTextMapPropagator(ours).inject(context, carrier, setter)

    expect(carrier).toEqual({ traceparent: `00-${trace}-${span}-01`, tracestate: 'a=1' })
  })

  it('injects the variables of the context it has extracted, to a destination that may receive them', () => {
    const propagator = toTextMapPropagator(ours, { peer: { values: true }, destination: { values: [tenant] } })
    const carrier: Record<string, string> = {}

    propagator.inject(propagator.extract(emptyOtelContext, headers, getter), carrier, setter)

    expect(carrier).toEqual(headers)
  })

  it('injects no values by default', () => {
    const carrier: Record<string, string> = {}
    const unit = LogicalContext.empty.with(tenant, 'acme')

    run(unit, () => toTextMapPropagator(ours).inject(emptyOtelContext, carrier, setter))

    expect(carrier).toEqual({})
  })

  it('injects the variables of the current unit where the context has none', () => {
    const propagator = toTextMapPropagator(ours, { destination: { values: true } })
    const carrier: Record<string, string> = {}
    const unit = LogicalContext.empty
      .with(tenant, 'acme')
      .with(traceContext, new TraceContext({ traceId: trace, spanId: span }))

    run(unit, () => propagator.inject(emptyOtelContext, carrier, setter))

    expect(carrier).toEqual({ traceparent: `00-${trace}-${span}-01`, baggage: 'tenant=acme' })
  })

  it.each(oddSpans)("injects the unit's own trace next to %s", (_name, active) => {
    const carrier: Record<string, string> = {}
    const unit = LogicalContext.empty.with(traceContext, new TraceContext({ traceId: otherTrace, spanId: other }))

    run(unit, () =>
      toTextMapPropagator(w3cTraceContext()).inject(emptyOtelContext.setValue(spanKey, active), carrier, setter),
    )

    expect(carrier).toEqual({ traceparent: `00-${otherTrace}-${other}-01` })
  })

  it('keeps debug, for which OpenTelemetry has no flag', () => {
    const propagator = toTextMapPropagator(b3())
    const carrier: Record<string, string> = {}

    propagator.inject(propagator.extract(emptyOtelContext, { b3: `${trace}-${span}-d` }, getter), carrier, setter)

    expect(carrier['b3']).toMatch(new RegExp(`^${trace}-${span}-d`))
  })

  it.each<[name: string, b3Header: string, active: string, written: string]>([
    ['the decision of the active span', `${trace}-${span}-1`, `${trace}/${other}/0`, `${trace}-${other}-0-${span}`],
    ['no debug of another trace', `${trace}-${span}-d`, `${otherTrace}/${other}/1`, `${otherTrace}-${other}-1-${span}`],
  ])('injects %s', (_name, b3Header, active, written) => {
    const propagator = toTextMapPropagator(b3())
    const carrier: Record<string, string> = {}
    const before = propagator.extract(emptyOtelContext, { b3: b3Header }, getter)

    propagator.inject(own.extract(before, { 'X-Own': active }, getter), carrier, setter)

    expect(carrier).toEqual({ b3: written })
  })

  it('is undone by fromTextMapPropagator', () => {
    const there = fromTextMapPropagator(toTextMapPropagator(w3cTraceContext()))

    const { context } = extractFrom(there, headers)

    expect(context.get(traceContext)).toMatchObject({ traceId: trace, parentSpanId: span, flags: 1 })
    expect(injectInto(there, context).headers).toEqual({
      traceparent: `00-${trace}-${context.get(traceContext)?.spanId}-01`,
      tracestate: 'a=1',
    })
  })

  it.each<[name: string, args: unknown[], message: RegExp]>([
    ['no propagator', [own], /^toTextMapPropagator: expected a propagator, got \{/],
    [
      'an unknown option',
      [w3cTraceContext(), { trust: [] }],
      /^toTextMapPropagator: unknown option 'trust', expected one of: peer, destination\./,
    ],
    [
      'a peer that is not an object',
      [w3cTraceContext(), { peer: true }],
      /^toTextMapPropagator: option 'peer' expected an object, got true\./,
    ],
    [
      'a destination that is null',
      [w3cTraceContext(), { destination: null }],
      /^toTextMapPropagator: option 'destination' expected an object, got null\./,
    ],
  ])('throws for %s', (_name, args, message) => {
    expect(() => toTextMapPropagator(...(args as [never]))).toThrow(message)
  })
})
