// `npm run soak -- node22 --requests=2000`: serves requests with their own values, and checks these values at each step.
// Without arguments it runs on all Node versions, with the number of requests that docs/reliability.md promises.
import { parseArgs } from 'node:util'
import { namedRuntimes, onRuntime } from './on-runtime.ts'
import { nodes } from './runtimes.ts'
import type { Run } from './soak/run.ts'
import type { Soaked } from './soak/soak.ts'

const { values, positionals } = parseArgs({
  options: { requests: { type: 'string', default: '20000' }, connections: { type: 'string', default: '100' } },
  allowPositionals: true,
})
const requests = Number(values.requests)
/** Enough to saturate the shared pools. */
const controlRequests = 2000

const table: object[] = []
const failures: string[] = []
const total = { checks: 0, crossed: 0, lost: 0 }
const seenOfControls: Record<string, number> = {}
for (const runtime of namedRuntimes(positionals, nodes)) {
  const args = [requests, Number(values.connections), controlRequests].map(String)
  const { library, controls } = await onRuntime<Run>(runtime, 'soak/run.ts', args)
  table.push(row(runtime, 'logical-context', library))
  total.checks += library.checks
  total.crossed += library.crossed
  total.lost += library.lost
  if (library.crossed + library.lost > 0 || library.requests !== requests) {
    failures.push(`${runtime}: a value crossed, or something is lost.`, ...library.samples)
  }
  for (const [name, seen] of Object.entries(controls)) {
    table.push(row(runtime, name, seen))
    seenOfControls[name] = (seenOfControls[name] ?? 0) + seen.crossed
    if (seen.crossed === 0) failures.push(`${runtime}: no value crossed in the control '${name}'. Can the checks fail?`)
  }
}

console.table(table)
for (const failure of failures) console.error(failure)
if (failures.length > 0) process.exitCode = 1
const count = (number: number) => number.toLocaleString('en')
const crossings = Object.entries(seenOfControls).map(([name, crossed]) => `${name} ${count(crossed)}`)
console.log(
  `soak: ${count(total.checks)} checks, ${count(total.crossed)} crossed, ${count(total.lost)} lost; ` +
    `controls crossed: ${crossings.join(', ')} times`,
)

function row(runtime: string, carrier: string, soaked: Soaked): object {
  const { requests: answered, sockets, tasks, checks, crossed, foreign, lost, seconds } = soaked
  return { runtime, carrier, answered, sockets, tasks, checks, crossed, foreign, lost, seconds: Math.round(seconds) }
}
