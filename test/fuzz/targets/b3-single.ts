import { ROOT_CONTEXT, trace as otelTrace } from '@opentelemetry/api'
import { B3Propagator } from '@opentelemetry/propagator-b3'
import { b3 } from 'logical-context/propagators'
import { traceContext } from 'logical-context/variables'
import { parseB3Single } from '../../../src/propagators/b3.ts'
import { trimOws } from '../../../src/variables/header-text.ts'
import { referenceB3 } from '../reference/b3.ts'
import { ensure, ensureSame, type FuzzTarget } from '../target.ts'
import { extractAll, injectAll, isUndecidedRoot } from './peers.ts'

const traceId = '80f198ee56343ba864fe8b2a57d3eff7'
const spanId = 'e457b5a2e4d86bd1'
const propagator = b3()
const theirs = new B3Propagator()
const getter = { keys: () => ['b3'], get: (carrier: unknown) => carrier as string }

export const b3Single: FuzzTarget = {
  name: 'b3-single',
  seeds: [
    `${traceId}-${spanId}-1-05e3ac9a4f6e3b90`,
    `${traceId}-${spanId}-d`,
    `${traceId.slice(16)}-${spanId}`,
    `${traceId}-${spanId}-05e3ac9a4f6e3b90`,
    '0',
    'd',
    `${traceId}-${spanId}-1, 0`,
  ],
  tokens: ['-0', '-1', '-d', '-', '0000000000000000', spanId, traceId, 'F', ',', ' ', 'true'],
  read: (input) => parseB3Single(trimOws(input)),
  check(input) {
    const parsed = parseB3Single(trimOws(input))
    const caller =
      parsed?.traceId === undefined
        ? parsed?.sampling
        : { traceId: parsed.traceId, spanId: parsed.spanId, sampling: parsed.sampling }
    ensureSame(caller, referenceB3(input), 'reads what the grammar says')

    const { found } = extractAll(propagator, { b3: input })
    const trace = found.get(traceContext)
    ensure(trace !== undefined, 'always returns a trace')
    const written = injectAll(propagator, found).found['b3'] ?? ''
    const next = extractAll(propagator, { b3: written }).found.get(traceContext)
    ensureSame(
      [next?.traceId, next?.parentSpanId, next?.sampling],
      [trace.traceId, trace.spanId, isUndecidedRoot(trace) ? 'accept' : trace.sampling],
      'reads what it has written',
    )
    if (parsed?.traceId === undefined || trimOws(input) !== input) return

    const span = otelTrace.getSpanContext(theirs.extract(ROOT_CONTEXT, input, getter))
    // A parent in the place of the state is not known to it.
    if (span !== undefined)
      ensureSame([span.traceId, span.spanId], [parsed.traceId, parsed.spanId], 'reads what OpenTelemetry reads')
  },
  frame: (text) => `${traceId}-${spanId}-1-${text}`,
}
