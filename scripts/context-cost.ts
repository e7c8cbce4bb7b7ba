// `node --conditions=logical-context-source scripts/context-cost.ts`: the cost of context at a million requests a second.
import { ContextVar, LogicalContext, runInScope } from 'logical-context'
import { Messages } from 'logical-context/messages/message'
import { carrierOf, type Propagator, w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { baggage, type Baggage, newIdentity, TraceContext, traceContext } from 'logical-context/variables'

const requestsPerSecond = 1_000_000
const callsPerRequest = 5

/** The headers of a context, names, separators and line ends included, as HTTP/1.1 writes them. */
function bytesOf(context: LogicalContext, propagators: readonly Propagator[]): number {
  const fields = new Map<string, string>()
  const destination = { trace: true, values: true, refuse() {} }
  for (const propagator of propagators) propagator.inject(context, carrierOf(fields), destination)
  return Array.from(fields).reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0)
}

const values = Array.from({ length: 10 }, (_, i) => new ContextVar<string>(`value${i}`))
const sample = 'a-value-of-20-bytes.'
const declared = (count: number) =>
  w3cBaggage({
    members: Object.fromEntries(values.slice(0, count).map((variable) => [variable.name, variable])),
    others: 'drop',
  })
const traced = newIdentity().with(traceContext, new TraceContext({ flags: 1 }))
const full = values.reduce((context, variable) => context.with(variable, sample), traced)
const perSecond = (bytes: number) => `${((bytes * requestsPerSecond * callsPerRequest * 8) / 1e9).toFixed(1)} Gbit/s`

console.log(`Headers of one call, at ${requestsPerSecond} requests a second with ${callsPerRequest} calls each:\n`)
for (const [name, propagators] of [
  ['the trace', [w3cTraceContext()]],
  ['the trace and the request id', [w3cTraceContext(), xRequestId()]],
  ['… and 1 value', [w3cTraceContext(), xRequestId(), declared(1)]],
  ['… and 3 values', [w3cTraceContext(), xRequestId(), declared(3)]],
  ['… and 10 values', [w3cTraceContext(), xRequestId(), declared(10)]],
] as const) {
  const bytes = bytesOf(full, propagators)
  console.log(`| ${name.padEnd(30)} | ${String(bytes).padStart(5)} | ${perSecond(bytes).padStart(13)} |`)
}

console.log('\nBaggage if each service adds two members of its own, in bytes after so many services:\n')
for (const depth of [1, 5, 10, 20, 50]) {
  let list: Baggage | undefined
  for (let i = 0; i < depth * 2; i++) {
    const member = { baggage: `${list === undefined ? '' : `${list.toString()},`}service${i}=${sample}` }
    const peer = { trace: 'continue', values: true, refuse() {} } as const
    list = w3cBaggage().extract(LogicalContext.empty, carrierOf(member), peer).get(baggage)
  }
  const kept = list === undefined ? traced : full.with(baggage, list)
  const [all, own] = [bytesOf(kept, [w3cBaggage()]), bytesOf(kept, [declared(3)])]
  console.log(`| ${String(depth).padStart(2)} | ${String(all).padStart(5)} | ${String(own).padStart(4)} |`)
}

console.log('\nOne job in a queue: bytes of its envelope, and of a million waiting jobs:\n')
for (const count of [0, 3, 10]) {
  const messages = new Messages('cost', { propagators: [w3cTraceContext(), xRequestId(), declared(count)] })
  const fields = runInScope(() => {
    for (const variable of values) variable.set(sample)
    return messages.capture('q')
  })
  const bytes = JSON.stringify({ logicalContext: { v: 1, ...fields } }).length - 2
  console.log(`| ${String(count).padStart(2)} values | ${String(bytes).padStart(4)} | ${bytes} MB |`)
}
