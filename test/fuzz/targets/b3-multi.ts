import { b3 } from 'logical-context/propagators'
import { traceContext } from 'logical-context/variables'
import { ensure, ensureSame, type FuzzTarget } from '../target.ts'
import { linesOf } from './lines.ts'
import { extractAll, injectAll, isUndecidedRoot } from './peers.ts'

const ids = 'x-b3-traceid: 80f198ee56343ba864fe8b2a57d3eff7\nx-b3-spanid: e457b5a2e4d86bd1'
const propagator = b3({ inject: 'multi' })
const hexId = /^(?!0+$)(?:[\da-f]{16}|[\da-f]{32})$/

export const b3Multi: FuzzTarget = {
  name: 'b3-multi',
  seeds: [
    `${ids}\nx-b3-sampled: 1\nx-b3-parentspanid: 05e3ac9a4f6e3b90`,
    `${ids}\nx-b3-flags: 1`,
    'x-b3-sampled: 0',
    `${ids}\nx-b3-sampled: true`,
    `b3: 0\n${ids}`,
    `${ids}\n${ids}`,
  ],
  tokens: [
    '\n',
    'x-b3-traceid: ',
    'X-B3-SpanId: ',
    'x-b3-sampled: ',
    'x-b3-flags: 1',
    'b3: ',
    'd',
    'true',
    '0000000000000000',
    ', ',
    '1',
  ],
  read: (input) => extractAll(propagator, linesOf(input)).found,
  check(input) {
    const lines = linesOf(input)
    const { found, refusals } = extractAll(propagator, lines)
    const trace = found.get(traceContext)
    ensure(trace !== undefined, 'always returns a trace')
    ensure(refusals.length <= 3, 'complains of each header at most once', refusals)

    const { found: written } = injectAll(propagator, found)
    const next = extractAll(propagator, written).found.get(traceContext)
    ensureSame(
      [next?.traceId, next?.parentSpanId, next?.sampling],
      [trace.traceId, trace.spanId, isUndecidedRoot(trace) ? 'accept' : trace.sampling],
      'reads what it has written',
    )

    const sent = (name: string) =>
      lines.filter(([known]) => known.toLowerCase() === name).map(([, value]) => value.replace(/^[ \t]+|[ \t]+$/g, ''))
    if (sent('b3').length > 0) return
    const [traceIds, spanIds] = [sent('x-b3-traceid'), sent('x-b3-spanid')]
    const isTaken = trace.parentSpanId !== undefined
    const isValid =
      [traceIds, spanIds].every((ids) => ids.length === 1 && hexId.test(ids[0] as string)) && spanIds[0]?.length === 16
    ensureSame(isTaken, isValid, 'takes ids that came once and are well formed, and no others')
    if (isTaken)
      ensureSame(
        [trace.traceId, trace.parentSpanId],
        [traceIds[0]?.padStart(32, '0'), spanIds[0]],
        'takes the ids as they came',
      )
  },
  frame: (text) => `${ids}\nx-b3-sampled: ${text}\nx-b3-flags: ${text}`,
}
