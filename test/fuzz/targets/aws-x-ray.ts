import { awsXRay as awsXRayPropagator } from 'logical-context/propagators'
import { traceContext } from 'logical-context/variables'
import { parseXRay } from '../../../src/propagators/aws-x-ray.ts'
import { trimOws } from '../../../src/variables/header-text.ts'
import { ensure, ensureLegal, ensureSame, type FuzzTarget } from '../target.ts'
import { extractAll, injectAll } from './peers.ts'

const field = 'x-amzn-trace-id'
const propagator = awsXRayPropagator()
const root = '1-5759e988-bd862e3fe1be46a994272793'
const parent = '53995c3f42cd8ad8'

export const awsXRay: FuzzTarget = {
  name: 'aws-x-ray',
  seeds: [
    `Root=${root};Parent=${parent};Sampled=1`,
    `Self=1-67891234-12456789abcdef012345678a;Root=${root}`,
    ` Root = ${root} ; Sampled=?`,
    `Root=${root};Root=${root}`,
    `Root=${root}, Root=${root}`,
    'Root=1-00000000-000000000000000000000000',
  ],
  tokens: ['Root=', 'Parent=', 'Sampled=', 'Self=', ';', '=', '1-', root, parent, '0', '?', ',', ' ', 'Lineage=1:2'],
  read: (input) => parseXRay(trimOws(input)),
  check(input) {
    const parsed = parseXRay(trimOws(input))
    ensureSame(parsed && { ...parsed }, reference(trimOws(input)), 'reads what the grammar says')

    const { found } = extractAll(propagator, { [field]: input })
    const trace = found.get(traceContext)
    ensure(trace !== undefined, 'always returns a trace')
    if (parsed !== undefined) ensureSame(trace.traceId, parsed.traceId, 'continues the trace')
    const written = injectAll(propagator, found).found[field] ?? ''
    ensureLegal(written)
    const next = extractAll(propagator, { [field]: written }).found.get(traceContext)
    ensureSame([next?.traceId, next?.parentSpanId], [trace.traceId, trace.spanId], 'reads what it has written')
  },
  frame: (text) => `Root=${root};Parent=${parent};${text}`,
}

function reference(text: string): object | undefined {
  const pairs = text.split(';').map((part) => part.split(/=(.*)/s).map((side) => side.replace(/^[ \t]+|[ \t]+$/g, '')))
  const named = pairs.map(([key = '', value]): [string, string] => (value === undefined ? ['', key] : [key, value]))
  const keys = named.map(([key]) => key).filter((key) => key !== '')
  if (text.length > 1024 || new Set(keys).size < keys.length) return undefined
  const parts = new Map(named)
  const [, time = '', rest = ''] = /^1-([\da-f]{8})-([\da-f]{24})$/.exec(parts.get('Root') ?? '') ?? []
  if (!/[^0]/.test(time + rest)) return undefined
  const sampled = parts.get('Sampled')
  const sampling = sampled === '1' ? 'accept' : sampled === '0' ? 'deny' : 'defer'
  const traceId = time + rest
  const spanId = parts.get('Parent')
  // The last 24 digits are random, so the flag of W3C's level 2 is set.
  if (spanId === undefined) return { traceId, flags: 2, sampling }
  if (!/^[\da-f]{16}$/.test(spanId) || spanId.endsWith('\n') || !/[^0]/.test(spanId)) return undefined
  return { traceId, spanId, flags: 0, sampling }
}
