import { type MicroRow, ours, type Role, type Side, type Target } from '../harness/row.ts'
import { byHand, byOpenTelemetry, byTctx, byUs, type Format, type Headers, type Hop, traceId, workOf } from './hops.ts'

const spanId = 'b7ad6b7169203331'
const traceparent = `00-${traceId}-${spanId}-01`
const tracestate = 'congo=t61rcWkgMzE,rojo=00f067aa0ba902b7'
const members = ['tenant=acme', 'region=eu-west-1', 'plan=gold', 'cell=7', 'channel=web', 'locale=de-AT']
const more = ['experiment=b%20side', 'priority=2', 'origin=checkout', 'device=mobile']
const ten = [...members, ...more].join(',')
const b3 = `${traceId}-${spanId}-1`

/** The row with the headers of a typical request. */
const typical = 'baggage-3'
const quarterOfOpenTelemetry: Target = {
  words: 'at most a quarter of OpenTelemetry',
  figure: 'ns',
  against: 'OpenTelemetry',
  atMost: 1 / 4,
}

export const propagation: readonly MicroRow[] = [
  hop('traceparent', 'traceparent', { traceparent }),
  hop('tracestate', 'traceparent and tracestate', { traceparent, tracestate }),
  hop(typical, 'the same with baggage of 3', { traceparent, tracestate, baggage: members.slice(0, 3).join(',') }),
  hop('baggage-10', 'the same with baggage of 10', { traceparent, tracestate, baggage: ten }),
  hop('b3', 'B3', { b3 }),
  hop('all-formats', 'all together', { traceparent, tracestate, baggage: ten, b3 }),
]

function hop(name: string, title: string, headers: Headers): MicroRow {
  const formats = Object.keys(headers) as Format[]
  const fitsTctx = formats.every((format) => format === 'traceparent' || format === 'tracestate')
  return {
    kind: 'micro',
    name,
    title: `Extract and inject: ${title}`,
    about:
      'The side reads headers and one member of the baggage, and writes the headers of a call. OpenTelemetry makes ' +
      'its new span elsewhere and writes the old one; the other sides write a new span id.',
    sides: [
      side('hand-written scan', 'floor', headers, () => byHand(formats)),
      side(ours, 'ours', headers, () => byUs(formats)),
      side('OpenTelemetry', 'peer', headers, () => byOpenTelemetry(formats)),
      ...(fitsTctx ? [side('tctx', 'peer', headers, byTctx)] : []),
    ],
    targets: name === typical ? [quarterOfOpenTelemetry] : [],
  }
}

function side(name: string, role: Role, headers: Headers, make: () => Promise<Hop>): Side {
  return { name, role, setup: async () => workOf(await make(), headers) }
}
