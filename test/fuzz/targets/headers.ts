import { ContextVar } from 'logical-context'
import {
  b3,
  composite,
  requestTimeout,
  jaeger,
  xRequestId,
  w3cBaggage,
  w3cTraceContext,
} from 'logical-context/propagators'
import { requestId as requestIdVariable, traceContext } from 'logical-context/variables'
import { ensure, ensureSame, type FuzzTarget } from '../target.ts'
import { ensureLegalBaggage } from './baggage.ts'
import { linesOf } from './lines.ts'
import { extractAll, injectAll } from './peers.ts'

const tenant = new ContextVar<string>('tenant')
const level = new ContextVar<number>('level')
const propagator = composite([
  w3cTraceContext(),
  b3(),
  jaeger(),
  w3cBaggage({
    members: {
      tenant,
      __proto__: tenant,
      level: { variable: level, decode: (text) => (/^\d$/.test(text) ? Number(text) : undefined), encode: String },
    },
  }),
  xRequestId(),
  requestTimeout(),
])
const parent = 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

export const headers: FuzzTarget = {
  name: 'headers',
  seeds: [
    `${parent}\ntracestate: a=1,b=2\nbaggage: tenant=acme,level=3,other=1\nx-request-id: r-1\ngrpc-timeout: 1S`,
    `${parent}\n${parent}`,
    'baggage: tenant=a\nBaggage: tenant=b',
    'baggage: tenant=a,level=x\nb3: d\nuber-trace-id: a:b:0:1',
    'x-request-id: a\nx-request-id: b\ngrpc-timeout: 1S\ngrpc-timeout: 2S',
  ],
  tokens: [
    '\n',
    'baggage: ',
    'tenant=',
    'level=4',
    'tracestate: ',
    'x-request-id: ',
    'grpc-timeout: ',
    'b3: 0',
    'uber-trace-id: ',
    ',',
    '\r\nx-admin: 1',
    `${parent}\n`,
    'a=1,',
  ],
  read: (input) => {
    const { found } = extractAll(propagator, linesOf(input))
    return injectAll(propagator, found)
  },
  check(input) {
    const lines = linesOf(input)
    const { found, refusals } = extractAll(propagator, lines)
    ensure(refusals.length <= 2 * propagator.fields.length, 'complains of each field at most twice', refusals)
    ensure(
      refusals.every((reason) => known.has(reason)),
      'complains in words of its own',
      refusals,
    )
    ensure(found.has(traceContext) && found.has(requestIdVariable), 'always returns a trace and an id')

    const { found: written } = injectAll(propagator, found)
    if (written['baggage'] !== undefined) ensureLegalBaggage(written['baggage'])
    ensure((written['tracestate'] ?? '').length <= 512, 'keeps within 512 characters of tracestate')
    const next = extractAll(propagator, written)
    for (const variable of [tenant, level, requestIdVariable] as ContextVar<unknown>[]) {
      ensureSame(next.found.get(variable), found.get(variable), `returns '${variable.name}' unchanged`)
    }
    ensureSame(next.found.get(traceContext)?.traceId, found.get(traceContext)?.traceId, 'continues the trace')
    if (tenantsIn(lines) > 1) ensureSame(found.get(tenant), undefined, 'takes no member that comes twice')
  },
}

const complaintWords = ['refused', 'malformed', 'duplicate', 'truncated']
const known = new Set(
  [...propagator.fields, 'baggage.tenant', 'baggage.level'].flatMap((field) =>
    complaintWords.map((word) => `${word} ${field}`),
  ),
)

/** How many members `tenant` there are within the limits, in all lines together. */
function tenantsIn(lines: [name: string, value: string][]): number {
  const text = lines
    .filter(([name]) => name.toLowerCase() === 'baggage')
    .map(([, value]) => value)
    .join(', ')
  if (text.length > 8192) return 0
  return text.split(',', 64).filter((member) => /^[ \t]*tenant[ \t]*=/.test(member)).length
}
