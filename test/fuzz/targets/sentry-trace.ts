import { extractTraceparentData } from '@sentry/core'
import { sentry } from 'logical-context/propagators'
import { traceContext } from 'logical-context/variables'
import { parseSentryTrace } from '../../../src/propagators/sentry.ts'
import { trimOws } from '../../../src/variables/header-text.ts'
import { ensure, ensureLegal, ensureSame, type FuzzTarget } from '../target.ts'
import { extractAll, injectAll } from './peers.ts'

const field = 'sentry-trace'
const propagator = sentry()
const ids = '771a43a4192642f0b136d5159a501700-1000000000000001'
const decisions = { accept: true, debug: true, deny: false, defer: undefined }

export const sentryTrace: FuzzTarget = {
  name: 'sentry-trace',
  seeds: [`${ids}-1`, `${ids}-0`, ids, `${ids}-`, ` ${ids}-1\t`, `${ids}-1, ${ids}-1`, ids.slice(0, 32)],
  tokens: ['-', '-1', '-0', ids, '0000000000000000', 'ABC', ',', ' ', '\t'],
  read: (input) => parseSentryTrace(trimOws(input)),
  check(input) {
    const parsed = parseSentryTrace(trimOws(input))
    const { found } = extractAll(propagator, { [field]: input })
    const trace = found.get(traceContext)
    ensure(trace !== undefined, 'always returns a trace')
    const written = injectAll(propagator, found).found[field] ?? ''
    ensureLegal(written)
    const next = extractAll(propagator, { [field]: written }).found.get(traceContext)
    ensureSame([next?.traceId, next?.parentSpanId], [trace.traceId, trace.spanId], 'reads what it has written')

    // Sentry accepts ids of zeros, and parts.
    const theirs = extractTraceparentData(trimOws(input))
    if (parsed === undefined) {
      const { traceId, parentSpanId } = theirs ?? {}
      const isZero = [traceId, parentSpanId].some((id) => id === undefined || !/[^0]/.test(id))
      const isJoined = /^.{32}(?!-)|^.{49}[01]$/s.test(trimOws(input))
      ensure(theirs === undefined || isZero || isJoined, 'refuses what Sentry refuses', input)
      return
    }
    const { traceId, spanId, sampling = 'defer' } = parsed
    ensureSame(
      [theirs?.traceId, theirs?.parentSpanId, theirs?.parentSampled],
      [traceId, spanId, decisions[sampling]],
      'reads what Sentry reads',
    )
  },
}
