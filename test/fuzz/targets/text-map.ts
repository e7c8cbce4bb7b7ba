import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { AWSXRayPropagator } from '@opentelemetry/propagator-aws-xray'
import { fromTextMapPropagator, toTextMapPropagator, w3cTraceContext } from 'logical-context/propagators'
import { baggage, traceContext } from 'logical-context/variables'
import { ensure, ensureSame, type FuzzTarget } from '../target.ts'
import { linesOf } from './lines.ts'
import { extractAll, injectAll } from './peers.ts'

const theirs = new W3CTraceContextPropagator()
const adapted = fromTextMapPropagator(theirs)
const xray = fromTextMapPropagator(new AWSXRayPropagator())
/** Ours as one of theirs, and as one of ours again. */
const thereAndBack = fromTextMapPropagator(toTextMapPropagator(w3cTraceContext()))
const traceId = '0af7651916cd43dd8448eb211c80319c'
const parent = `traceparent: 00-${traceId}-b7ad6b7169203331-01`

/** Propagators of OpenTelemetry's as ours, and ours as theirs. */
export const textMap: FuzzTarget = {
  name: 'text-map',
  seeds: [
    `${parent}\ntracestate: a=1,b=2\nbaggage: tenant=acme`,
    `${parent}\n${parent}`,
    'x-amzn-trace-id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1',
    'X-Amzn-Trace-Id: Root=1-5759e988-;Parent=53995c3f42cd8ad8;Sampled=2;Lineage=25:c3f4:0',
  ],
  tokens: [
    '\n',
    `${parent}\n`,
    'tracestate: ',
    'x-amzn-trace-id: ',
    'Root=1-',
    'Parent=',
    'Sampled=',
    ';',
    ',',
    '-',
    '\r',
  ],
  read: (input) => {
    const { found } = extractAll(thereAndBack, linesOf(input))
    return injectAll(thereAndBack, found)
  },
  check(input) {
    const lines = linesOf(input)
    for (const propagator of [adapted, xray]) {
      const { found, refusals } = extractAll(propagator, lines)
      ensure(found.has(traceContext) && !found.has(baggage), 'always returns a trace, and no values')
      ensure(
        refusals.every((reason) => propagator.fields.some((field) => reason === `malformed ${field}`)),
        'complains in words of its own',
        refusals,
      )
      const { found: written } = injectAll(propagator, found)
      const next = extractAll(propagator, written).found.get(traceContext)
      ensureSame(next?.traceId, found.get(traceContext)?.traceId, 'continues the trace')
    }

    const direct = extractAll(w3cTraceContext(), lines).found.get(traceContext)
    const around = extractAll(thereAndBack, lines).found.get(traceContext)
    ensureSame(around?.parentSpanId, direct?.parentSpanId, 'reads as an adapter of an adapter what it reads itself')
    if (direct?.parentSpanId === undefined) return
    ensureSame(around?.traceId, direct.traceId, 'reads the same trace as an adapter of an adapter')
    ensureSame(around?.flags, direct.flags, 'reads the same flags as an adapter of an adapter')
    ensureSame(String(around?.state), String(direct.state), 'reads the same tracestate as an adapter of an adapter')
  },
}
