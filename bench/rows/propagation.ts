import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { type MicroRow, noPeerFaster, ofFloor, ours, type Side, type Work } from '../harness/row.ts'
import { readB3, readBaggage, readTraceparent, readTracestate } from './hand-written.ts'

type Headers = Record<string, string>
type Format = 'traceparent' | 'tracestate' | 'baggage' | 'b3'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const spanId = 'b7ad6b7169203331'
const traceparent = `00-${traceId}-${spanId}-01`
const tracestate = 'congo=t61rcWkgMzE,rojo=00f067aa0ba902b7'
const members = ['tenant=acme', 'region=eu-west-1', 'plan=gold', 'cell=7', 'channel=web', 'locale=de-AT']
const more = ['experiment=b%20side', 'priority=2', 'origin=checkout', 'device=mobile']
const ten = [...members, ...more].join(',')
const b3 = `${traceId}-${spanId}-1`

export const propagation: readonly MicroRow[] = [
  hop('traceparent', 'traceparent', { traceparent }),
  hop('tracestate', 'traceparent and tracestate', { traceparent, tracestate }),
  hop('baggage-3', 'the same with baggage of 3', { traceparent, tracestate, baggage: members.slice(0, 3).join(',') }),
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
      'Headers are read, one member of the baggage too, and those of a call are written. OpenTelemetry makes its new ' +
      'span elsewhere and writes the old one; the other sides write a new span id.',
    sides: [
      side('hand-written scan', 'floor', headers, () => (incoming) => byHand(incoming, formats)),
      side(ours, 'ours', headers, () => byUs(formats)),
      side('OpenTelemetry', 'peer', headers, () => byOpenTelemetry(formats)),
      ...(fitsTctx ? [side('tctx', 'peer', headers, byTctx)] : []),
    ],
    targets: [
      ofFloor(1.3),
      { words: '5 times as fast as OpenTelemetry', figure: 'ns', against: 'OpenTelemetry', atMost: 1 / 5 },
      noPeerFaster,
    ],
  }
}

/** Reads the headers of a request; gives those of a call, and the tenant that was told. */
type Hop = (incoming: Headers) => { outgoing: Headers; tenant: string | undefined }

function side(name: string, role: Side['role'], headers: Headers, make: () => Hop | Promise<Hop>): Side {
  return {
    name,
    role,
    async setup(): Promise<Work> {
      const hop = await make()
      return {
        op: () => hop(headers),
        check() {
          const { outgoing, tenant } = hop({ ...headers })
          assert.deepEqual(Object.keys(outgoing).toSorted(), Object.keys(headers).toSorted())
          if (headers['traceparent']) assert.match(outgoing['traceparent'] ?? '', new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`))
          if (headers['b3']) assert.match(outgoing['b3'] ?? '', new RegExp(`^${traceId}-[0-9a-f]{16}-1`))
          assert.equal(outgoing['tracestate'], headers['tracestate'])
          assert.equal(outgoing['baggage'], headers['baggage'])
          assert.equal(tenant, headers['baggage'] && 'acme')
        },
      }
    },
  }
}

const pool = Buffer.alloc(8192)
let next = pool.length

function newSpanId(): string {
  if (next + 16 > pool.length) {
    pool.write(randomFillSync(Buffer.allocUnsafe(4096)).toString('hex'), 'latin1')
    next = 0
  }
  return pool.latin1Slice(next, (next += 16))
}

function byHand(incoming: Headers, formats: readonly Format[]): ReturnType<Hop> {
  const trace = formats.includes('traceparent') ? readTraceparent(incoming['traceparent']) : readB3(incoming['b3'])
  const state = formats.includes('tracestate') ? readTracestate(incoming['tracestate']) : undefined
  const baggage = formats.includes('baggage') ? readBaggage(incoming['baggage'], 'tenant') : undefined
  const outgoing: Headers = {}
  if (trace !== undefined) {
    const span = newSpanId()
    if (formats.includes('traceparent')) outgoing['traceparent'] = `00-${trace.traceId}-${span}-${trace.flags}`
    if (formats.includes('b3')) outgoing['b3'] = `${trace.traceId}-${span}-1`
  }
  if (state !== undefined) outgoing['tracestate'] = state
  if (baggage !== undefined) outgoing['baggage'] = baggage.text
  return { outgoing, tenant: baggage?.value }
}

async function byUs(formats: readonly Format[]): Promise<Hop> {
  const { ContextVar, LogicalContext } = await import('logical-context')
  const { b3, carrierOf, composite, incomingCarrier, w3cBaggage, w3cTraceContext } =
    await import('logical-context/propagators')
  const tenant = new ContextVar<string>('tenant')
  const propagator = composite([
    ...(formats.includes('traceparent') ? [w3cTraceContext()] : []),
    ...(formats.includes('b3') ? [b3()] : []),
    ...(formats.includes('baggage') ? [w3cBaggage({ members: { tenant } })] : []),
  ])
  const complain = (complaint: string, field: string) => assert.fail(`${field}: ${complaint}`)
  const peer = { trace: 'continue', values: true, complain } as const
  const destination = { trace: true, values: true, complain } as const
  return (incoming) => {
    const context = propagator.extract(LogicalContext.empty, incomingCarrier(incoming), peer)
    const outgoing: Headers = {}
    propagator.inject(context, carrierOf(outgoing), destination)
    return { outgoing, tenant: context.get(tenant) }
  }
}

async function byOpenTelemetry(formats: readonly Format[]): Promise<Hop> {
  const { defaultTextMapGetter, defaultTextMapSetter, propagation: api, ROOT_CONTEXT } = await import('@opentelemetry/api')
  const { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } = await import('@opentelemetry/core')
  const { B3Propagator } = await import('@opentelemetry/propagator-b3')
  const propagator = new CompositePropagator({
    // The last one that finds a span wins, and B3 knows no tracestate.
    propagators: [
      ...(formats.includes('b3') ? [new B3Propagator()] : []),
      ...(formats.includes('traceparent') ? [new W3CTraceContextPropagator()] : []),
      ...(formats.includes('baggage') ? [new W3CBaggagePropagator()] : []),
    ],
  })
  return (incoming) => {
    const context = propagator.extract(ROOT_CONTEXT, incoming, defaultTextMapGetter)
    const outgoing: Headers = {}
    propagator.inject(context, outgoing, defaultTextMapSetter)
    return { outgoing, tenant: api.getBaggage(context)?.getEntry('tenant')?.value }
  }
}

async function byTctx(): Promise<Hop> {
  const parents = await import('tctx/traceparent')
  const states = await import('tctx/tracestate')
  return ({ traceparent, tracestate }) => {
    const parent = parents.parse(traceparent ?? '')
    const outgoing: Headers = {}
    if (parent !== null) outgoing['traceparent'] = String(parent.child())
    if (tracestate !== undefined) outgoing['tracestate'] = String(states.parse(tracestate))
    return { outgoing, tenant: undefined }
  }
}
