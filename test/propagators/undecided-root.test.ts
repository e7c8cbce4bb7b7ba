import { defaultTextMapGetter, ROOT_CONTEXT, type TextMapPropagator, trace as otelTrace } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { AWSXRayPropagator } from '@opentelemetry/propagator-aws-xray'
import { B3InjectEncoding, B3Propagator } from '@opentelemetry/propagator-b3'
import { JaegerPropagator } from '@opentelemetry/propagator-jaeger'
import { AlwaysOnSampler, ParentBasedSampler, TracerProvider } from '@opentelemetry/sdk-trace'
import { LogicalContext } from 'logical-context'
import {
  awsXRay,
  b3,
  fromTextMapPropagator,
  jaeger,
  type Propagator,
  sentry,
  type UndecidedOption,
  w3cTraceContext,
} from 'logical-context/propagators'
import { extractFrom, injectInto } from 'logical-context/testing'
import { newIdentity, TraceContext, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'

const formats: [name: string, ours: (options?: UndecidedOption) => Propagator, theirs: TextMapPropagator][] = [
  ['W3C', w3cTraceContext, new W3CTraceContextPropagator()],
  ['B3 in one header', (options) => b3({ ...options }), new B3Propagator()],
  [
    'B3 in several headers',
    (options) => b3({ ...options, inject: 'multi' }),
    new B3Propagator({ injectEncoding: B3InjectEncoding.MULTI_HEADER }),
  ],
  ['Jaeger', jaeger, new JaegerPropagator()],
  ['AWS X-Ray', awsXRay, new AWSXRayPropagator()],
  [
    'an OpenTelemetry propagator',
    (options) => fromTextMapPropagator(new AWSXRayPropagator(), options),
    new AWSXRayPropagator(),
  ],
]

/** A downstream service with OpenTelemetry's default sampler. */
const tracer = new TracerProvider({ sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }) }).getTracer(
  'test',
)

function callee(headers: Record<string, string>, theirs: TextMapPropagator) {
  const context = theirs.extract(ROOT_CONTEXT, headers, defaultTextMapGetter)
  const span = tracer.startSpan('callee', {}, context)
  return {
    isRecording: span.isRecording(),
    traceId: span.spanContext().traceId,
    hasParent: otelTrace.getSpan(context) !== undefined,
  }
}

describe.each(formats)(
  'a trace that began here, written as %s for a service with OpenTelemetry',
  (_name, ours, theirs) => {
    const context = newIdentity()
    const traceId = context.get(traceContext)?.traceId

    it('is continued and recorded by default', () => {
      const { headers } = injectInto(ours(), context)

      expect(callee(headers, theirs)).toEqual({ isRecording: true, traceId, hasParent: true })
    })

    it('is recorded in a child of the root too', () => {
      const child = context.with(traceContext, context.get(traceContext)!.child())

      expect(callee(injectInto(ours(), child).headers, theirs)).toMatchObject({ isRecording: true, traceId })
    })

    it('is continued and not recorded with `deny`', () => {
      const { headers } = injectInto(ours({ undecided: 'deny' }), context)

      expect(callee(headers, theirs)).toEqual({ isRecording: false, traceId, hasParent: true })
    })

    it('is not recorded if its caller decided so', () => {
      const denied = LogicalContext.empty.with(traceContext, new TraceContext({ sampling: 'deny' }))

      expect(callee(injectInto(ours(), denied).headers, theirs)).toMatchObject({ isRecording: false, hasParent: true })
    })
  },
)

describe('undecided: defer', () => {
  it.each(formats.filter(([name]) => !name.startsWith('B3') && name !== 'AWS X-Ray'))(
    'does not write %s, which cannot express it: the callee begins and records a trace',
    (_name, ours, theirs) => {
      const { headers } = injectInto(ours({ undecided: 'defer' }), newIdentity())

      expect(headers).toEqual({})
      expect(callee(headers, theirs)).toMatchObject({ isRecording: true, hasParent: false })
    },
  )

  it('writes B3 without a state, which leaves the decision to the callee', () => {
    const context = newIdentity().with(
      traceContext,
      new TraceContext({ spanId: '1'.repeat(16), parentSpanId: '2'.repeat(16) }),
    )

    const single = injectInto(b3({ undecided: 'defer' }), context).headers
    const multi = injectInto(b3({ undecided: 'defer', inject: 'multi' }), context).headers

    expect(single['b3']).toMatch(/^[\da-f]{32}-1{16}$/)
    expect(Object.keys(multi)).toEqual(['x-b3-traceid', 'x-b3-spanid', 'x-b3-parentspanid'])
  })

  it('writes X-Ray without a decision, which OpenTelemetry does not continue', () => {
    const { headers } = injectInto(awsXRay({ undecided: 'defer' }), newIdentity())

    expect(headers['x-amzn-trace-id']).toMatch(/^Root=[\da-f-]{35};Parent=[\da-f]{16}$/)
    expect(callee(headers, new AWSXRayPropagator())).toMatchObject({ isRecording: true, hasParent: false })
  })

  it('writes a trace that is decided', () => {
    for (const [, ours] of formats) {
      const context = LogicalContext.empty.with(traceContext, new TraceContext({ sampling: 'accept' }))

      expect(injectInto(ours({ undecided: 'defer' }), context).headers).not.toEqual({})
    }
  })
})

describe('a decision that the caller deferred', () => {
  const headers = { b3: `${'a'.repeat(32)}-${'1'.repeat(16)}` }
  const { context } = extractFrom(b3(), headers)

  it('is passed on by B3 unchanged, whatever the option', () => {
    for (const undecided of ['accept', 'deny', 'defer'] as const) {
      expect(injectInto(b3({ undecided }), context).headers['b3']).toMatch(/^a{32}-[\da-f]{16}$/)
    }
  })

  it('is written as accepted by a format that cannot express it', () => {
    expect(injectInto(w3cTraceContext(), context).headers['traceparent']).toMatch(/-01$/)
    expect(injectInto(jaeger(), context).headers['uber-trace-id']).toMatch(/:01$/)
  })
})

describe('undecided', () => {
  it.each<[name: string, make: (options: never) => unknown]>([
    ['w3cTraceContext', w3cTraceContext],
    ['b3', b3],
    ['jaeger', jaeger],
    ['awsXRay', awsXRay],
    ['sentry', sentry],
    ['fromTextMapPropagator', (options) => fromTextMapPropagator(new AWSXRayPropagator(), options)],
  ])('is checked by %s', (name, make) => {
    expect(() => make({ undecided: 'maybe' } as never)).toThrow(
      new TypeError(`${name}: option 'undecided' expected 'accept' or 'deny' or 'defer', got 'maybe'.`),
    )
    expect(() => make({ sampling: 'accept' } as never)).toThrow(TypeError)
  })
})
