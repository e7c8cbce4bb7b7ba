import * as fc from 'fast-check'
import { ContextVar, LogicalContext } from 'logical-context'
import {
  awsXRay,
  b3,
  composite,
  requestTimeout,
  fromTextMapPropagator,
  jaeger,
  type Propagator,
  sentry,
  xRequestId,
  toTextMapPropagator,
  w3cBaggage,
  w3cTraceContext,
} from 'logical-context/propagators'
import * as testing from 'logical-context/testing'
import {
  Baggage,
  baggage,
  deadline as deadlineVar,
  requestId as requestIdVar,
  type Sampling,
  TraceContext,
  traceContext,
  Tracestate,
} from 'logical-context/variables'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ownHeader, region } from './own-header.ts'

/** Runs the contract suite with random samples: the same in each run, so that no test fails by chance. */
function describePropagator(
  name: string,
  make: () => Propagator,
  {
    contexts,
    texts,
    ...samples
  }: Omit<testing.PropagatorSamples, 'contexts' | 'texts'> & {
    contexts: fc.Arbitrary<LogicalContext>
    texts: fc.Arbitrary<string>
  },
): void {
  const seed = Number(process.env['PROPERTY_SEED'] ?? 1)
  const sample = <T>(arbitrary: fc.Arbitrary<T>) => fc.sample(arbitrary, { numRuns: 100, seed })
  testing.describePropagator({ describe, it, expect }, name, make, {
    ...samples,
    contexts: sample(contexts),
    texts: sample(texts),
  })
}

const tenant = new ContextVar<string>('tenant')
const plan = new ContextVar<number>('plan')

const id = (digits: number) =>
  fc
    .string({ unit: fc.constantFrom(...Array.from('0123456789abcdef')), minLength: digits, maxLength: digits })
    .filter((text) => /[^0]/.test(text))
const traceIds = fc.oneof(
  id(32),
  id(16).map((text) => text.padStart(32, '0')),
)
const key = fc.stringMatching(/^[a-z0-9][a-z0-9_*/@-]{0,20}$/)
const value = fc.stringMatching(/^[ -+\--<>-~]{0,20}[!-+\--<>-~]$/)
const tracestates = fc
  .uniqueArray(fc.tuple(key, value), { selector: ([name]) => name, maxLength: 6 })
  .map((members) => members.reduceRight((state, [name, text]) => state.set(name, text), Tracestate.empty))

const traces = (samplings: readonly Sampling[]) =>
  fc
    .record({
      traceId: traceIds,
      spanId: id(16),
      parentSpanId: fc.option(id(16), { nil: undefined }),
      flags: fc.constantFrom(0, 2),
      sampling: fc.constantFrom(...samplings),
      state: tracestates,
    })
    .map((init) => new TraceContext(init))
const inTrace = (samplings: readonly Sampling[]) =>
  traces(samplings).map((trace) => LogicalContext.empty.with(traceContext, trace))

const traceparents = fc.oneof(
  fc
    .tuple(fc.constantFrom('00', '01', 'cc', 'ff'), id(32), id(16), fc.constantFrom('00', '01', '03', 'ff'))
    .map((parts) => parts.join('-')),
  fc.constantFrom('rojo=1', 'rojo=1,congo=2', 'A=1', ',,', ''),
)

describePropagator('w3cTraceContext', w3cTraceContext, {
  trace: true,
  contexts: inTrace(['accept', 'deny']),
  texts: traceparents,
})

const token = fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,10}$/)
const anyText = fc.string({ unit: 'grapheme', maxLength: 40 })
const someBaggage = fc
  .uniqueArray(fc.tuple(token, anyText, fc.array(token, { maxLength: 2 })), {
    selector: ([name]) => name,
    minLength: 1,
    maxLength: 20,
  })
  .map((members) =>
    members.reduce(
      (all, [name, text, properties]) =>
        all.set(
          `o.${name}`,
          text,
          properties.map((property) => [property, text]),
        ),
      Baggage.empty,
    ),
  )

describePropagator(
  'w3cBaggage',
  () => w3cBaggage({ members: { tenant, plan: { variable: plan, decode: (text) => Number(text), encode: String } } }),
  {
    variables: [tenant, plan],
    contexts: fc
      .tuple(anyText, fc.integer(), someBaggage)
      .map(([text, number, others]) =>
        LogicalContext.empty.with(tenant, text).with(plan, number).with(baggage, others),
      ),
    texts: fc.oneof(
      fc
        .array(fc.oneof(fc.constantFrom('tenant=a', ' tenant = b ;p', 'plan=7', 'x', '=', '', 'x=%zz', 'y="'), token), {
          maxLength: 9,
        })
        .map((members) => members.join(',')),
    ),
  },
)

describePropagator('w3cBaggage without members', w3cBaggage, {
  variables: [],
  contexts: someBaggage.map((others) => LogicalContext.empty.with(baggage, others)),
  texts: fc.array(fc.oneof(token, fc.constant('a=b;c')), { maxLength: 9 }).map((members) => members.join(' , ')),
})

const requestIds = fc.stringMatching(/^[A-Za-z0-9._-]{1,128}$/)

describePropagator('xRequestId', xRequestId, {
  variables: [requestIdVar],
  contexts: requestIds.map((text) => LogicalContext.empty.with(requestIdVar, text)),
  texts: fc.oneof(
    requestIds,
    requestIds.map((text) => `${text}, ${text}`),
  ),
})

const allStates = ['accept', 'deny', 'debug', 'defer'] as const
const b3Texts = fc.oneof(
  fc
    .tuple(fc.oneof(id(16), id(32)), id(16), fc.constantFrom('', '-0', '-1', '-d', '-x'), fc.option(id(16)))
    .map(([traceId, spanId, state, parent]) => `${traceId}-${spanId}${state}${parent === null ? '' : `-${parent}`}`),
  fc.oneof(id(16), id(32), fc.constantFrom('0', '1', 'd', 'true', 'false')),
)

describePropagator('b3 in one header', b3, { trace: true, contexts: inTrace(allStates), texts: b3Texts })
describePropagator('b3 in several headers', () => b3({ inject: 'multi' }), {
  trace: true,
  contexts: inTrace(allStates),
  texts: b3Texts,
})

describePropagator('jaeger', jaeger, {
  trace: true,
  contexts: inTrace(['accept', 'deny', 'debug']),
  texts: fc
    .tuple(id(32), id(16), fc.constantFrom('0', ''), fc.constantFrom('0', '1', '3', '0f'))
    .map((parts) => parts.join(':')),
})

describePropagator('awsXRay', awsXRay, {
  trace: true,
  contexts: inTrace(['accept', 'deny']),
  texts: fc
    .tuple(id(8), id(24), id(16), fc.constantFrom('', ';Sampled=1', ';Sampled=0', ';Sampled=?', ';Self=1'))
    .map(([time, rest, span, tail]) => `Root=1-${time}-${rest};Parent=${span}${tail}`),
})

describePropagator('sentry', sentry, {
  trace: true,
  contexts: inTrace(['accept', 'deny']),
  texts: fc.tuple(id(32), id(16), fc.constantFrom('1', '0', '')).map((parts) => parts.join('-')),
})

beforeAll(() => {
  vi.useFakeTimers({ now: 1_800_000_000_000, toFake: ['Date'] })
})
afterAll(() => {
  vi.useRealTimers()
})

for (const format of ['grpc', 'milliseconds'] as const) {
  describePropagator(`deadline in the form ${format}`, () => requestTimeout({ format, header: 'x-timeout' }), {
    variables: [deadlineVar],
    contexts: fc
      .integer({ min: 1, max: 3_600_000 })
      .map((ms) => LogicalContext.empty.with(deadlineVar, 1_800_000_000_000 + ms)),
    texts: fc.tuple(fc.nat(), fc.constantFrom('', 'm', 'S', 'H', 'u')).map((parts) => parts.join('')),
  })
}

describePropagator('an OpenTelemetry propagator', () => fromTextMapPropagator(toTextMapPropagator(w3cTraceContext())), {
  trace: true,
  contexts: inTrace(['accept', 'deny']),
  texts: traceparents,
})

describePropagator(
  'a composite of all',
  () =>
    composite([
      w3cTraceContext(),
      w3cBaggage({ members: { tenant } }),
      xRequestId(),
      b3(),
      jaeger(),
      b3({ inject: 'multi' }),
    ]),
  {
    trace: true,
    variables: [tenant, requestIdVar],
    contexts: fc
      .tuple(traces(['accept', 'deny']), anyText, requestIds)
      .map(([trace, text, request]) =>
        LogicalContext.empty.with(traceContext, trace).with(tenant, text).with(requestIdVar, request),
      ),
    texts: fc.oneof(traceparents, b3Texts, requestIds),
  },
)

describePropagator("a user's own", () => ownHeader, {
  variables: [region],
  contexts: fc.stringMatching(/^[a-z]{2}$/).map((text) => LogicalContext.empty.with(region, text)),
  texts: fc.constantFrom('eu', 'us', 'EU', 'eu, us', ''),
})
