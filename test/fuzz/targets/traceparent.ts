import { parseTraceParent } from '@opentelemetry/core'
import { w3cTraceContext } from 'logical-context/propagators'
import { traceContext } from 'logical-context/variables'
import { parseTraceparent } from '../../../src/propagators/w3c-trace-context.ts'
import { trimOws } from '../../../src/variables/header-text.ts'
import { referenceTraceparent } from '../reference/trace-context.ts'
import { ensure, ensureSame, type FuzzTarget } from '../target.ts'
import { extractAll, injectAll } from './peers.ts'

const ids = '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331'
const propagator = w3cTraceContext()

export const traceparent: FuzzTarget = {
  name: 'traceparent',
  seeds: [
    `00-${ids}-01`,
    `00-${ids}-ff`,
    `cc-${ids}-01-what-comes`,
    `ff-${ids}-01`,
    ` 00-${ids}-00\t`,
    `00-${ids}-01, 00-${ids}-01`,
  ],
  tokens: ['00-', '-01', 'ff', '0000000000000000', 'ABCDEF', ids, ', ', '-0', '\t '],
  read: (input) => parseTraceparent(trimOws(input)),
  check(input) {
    const parsed = parseTraceparent(trimOws(input))
    const { traceId, spanId, flags } = parsed ?? {}
    ensureSame(parsed && { traceId, spanId, flags }, referenceTraceparent(input), 'reads what the grammar says')

    const { found } = extractAll(propagator, { traceparent: input })
    const trace = found.get(traceContext)
    ensure(trace !== undefined, 'always returns a trace')
    const written = injectAll(propagator, found).found['traceparent'] ?? ''
    ensureSame(written, `00-${trace.traceId}-${trace.spanId}-0${flags ?? 3}`, 'writes version 00')
    if (parsed === undefined) return

    ensureSame([trace.traceId, trace.parentSpanId], [traceId, spanId], 'continues the trace')
    const next = extractAll(propagator, { traceparent: written }).found.get(traceContext)
    ensureSame(
      [next?.traceId, next?.parentSpanId, next?.flags],
      [traceId, trace.spanId, flags],
      'reads what it has written',
    )
    // It accepts one blank around the header and no tab, and no line end in it.
    if (/[\n\r\u2028\u2029]/.test(input)) return
    const theirs = parseTraceParent(input.replace(/^[ \t]+|[ \t]+$/g, ''))
    ensureSame([theirs?.traceId, theirs?.spanId], [traceId, spanId], 'reads what OpenTelemetry reads')
  },
  frame: (text) => `cc-${ids}-01-${text}`,
}
