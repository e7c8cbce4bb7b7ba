// `npm run memory -- node22 --requests=200000`: measures the heap of a server after 50,000 requests and after a million, each
// with a task. Without arguments it runs on all Node versions.
import { parseArgs } from 'node:util'
import type { Run } from './memory/run.ts'
import { namedRuntimes, onRuntime } from './on-runtime.ts'
import { nodes } from './runtimes.ts'

const { values, positionals } = parseArgs({
  options: { requests: { type: 'string', default: '1000000' } },
  allowPositionals: true,
})
const first = 50_000
const requests = Number(values.requests)
/** Enough to see the growth of a server that keeps its requests. */
const controlRequests = 2 * first
const limitMegabytes = 2

const table: object[] = []
const growths: string[] = []
const grownControls: string[] = []
const failures: string[] = []
for (const runtime of namedRuntimes(positionals, nodes)) {
  const run = await onRuntime<Run>(runtime, 'memory/run.ts', [`${first}`, `${requests}`])
  const growth = grown(run)
  table.push(row(runtime, 'logical-context', requests, run))
  growths.push(`${runtime} ${signed(growth)}`)
  if (growth >= limitMegabytes) failures.push(`${runtime}: the heap grew by ${signed(growth)} MB.`)
  if (run.tasks !== requests) failures.push(`${runtime}: ${run.tasks} tasks ended, not ${requests}.`)

  const control = await onRuntime<Run>(runtime, 'memory/run.ts', [`${first}`, `${controlRequests}`, '--keep'])
  table.push(row(runtime, 'kept scopes', controlRequests, control))
  grownControls.push(signed(grown(control)))
  if (grown(control) < limitMegabytes)
    failures.push(`${runtime}: the heap of the control did not grow. Can the check fail?`)
}

console.table(table)
for (const failure of failures) console.error(failure)
if (failures.length > 0) process.exitCode = 1
const [from, to] = [first, requests].map((count) => count.toLocaleString('en'))
console.log(
  `memory: heap from ${from} to ${to} requests: ${growths.join(', ')} MB; ` +
    `controls that keep ${(controlRequests - first).toLocaleString('en')} scopes: ${grownControls.join(', ')} MB`,
)

function grown({ first: before, last }: Run): number {
  return (last - before) / 2 ** 20
}

function signed(megabytes: number): string {
  return `${megabytes < 0 ? '' : '+'}${megabytes.toFixed(2)}`
}

function row(runtime: string, server: string, count: number, run: Run): object {
  const [before, after] = [run.first, run.last].map((bytes) => (bytes / 2 ** 20).toFixed(2))
  return { runtime, server, requests: count, 'first MB': before, 'last MB': after, seconds: Math.round(run.seconds) }
}
