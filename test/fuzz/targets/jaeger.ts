import { ROOT_CONTEXT, trace as otelTrace } from '@opentelemetry/api'
import { JaegerPropagator } from '@opentelemetry/propagator-jaeger'
import { jaeger as jaegerPropagator } from 'logical-context/propagators'
import { traceContext } from 'logical-context/variables'
import { referenceJaeger } from '../reference/b3.ts'
import { ensure, ensureSame, type FuzzTarget } from '../target.ts'
import { extractAll, injectAll } from './peers.ts'

const field = 'uber-trace-id'
const propagator = jaegerPropagator()
const theirs = new JaegerPropagator()
const getter = {
  keys: () => [field],
  get: (carrier: unknown, key: string) => (key === field ? (carrier as string) : undefined),
}
const ids = '80f198ee56343ba864fe8b2a57d3eff7:e457b5a2e4d86bd1'

export const jaeger: FuzzTarget = {
  name: 'jaeger',
  seeds: [
    `${ids}:05e3ac9a4f6e3b90:1`,
    `${ids}:0:03`,
    '64FE8B2A57D3EFF7:57b5a2e4d86bd1:0:1',
    `${ids.replace(':', '%3A')}%3a0%3A0`,
    'a:b:0:0',
    `${ids}:0:1, a:b:0:1`,
  ],
  tokens: [':', '%3A', '%3a', ':0:', ':1', '0000000000000000', 'ABC', ids, ',', ' ', '-'],
  read: (input) => extractAll(propagator, { [field]: input }).found,
  check(input) {
    const { found } = extractAll(propagator, { [field]: input })
    const trace = found.get(traceContext)
    ensure(trace !== undefined, 'always returns a trace')
    const expected = referenceJaeger(input)
    const caller =
      trace.parentSpanId === undefined
        ? undefined
        : { traceId: trace.traceId, spanId: trace.parentSpanId, sampling: trace.sampling }
    ensureSame(caller, expected, 'reads what the grammar says')

    const written = injectAll(propagator, found).found[field] ?? ''
    const next = extractAll(propagator, { [field]: written }).found.get(traceContext)
    const sampling = trace.sampling === 'defer' ? 'accept' : trace.sampling
    ensureSame(
      [next?.traceId, next?.parentSpanId, next?.sampling],
      [trace.traceId, trace.spanId, sampling],
      'reads what it has written',
    )
    if (expected === undefined || /[^\da-f:]/.test(input)) return

    const span = otelTrace.getSpanContext(theirs.extract(ROOT_CONTEXT, input, getter))
    if (span !== undefined)
      ensureSame([span.traceId, span.spanId], [expected.traceId, expected.spanId], 'reads what OpenTelemetry reads')
  },
  frame: (text) => `${ids}:${text}:1`,
}
