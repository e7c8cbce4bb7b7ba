// `npm run bench`: measures the library beside the floor and its peers, and writes `docs/benchmarks.md`.
import { parseArgs } from 'node:util'
import { type RuntimeName, runtimePath } from '../scripts/runtimes.ts'
import { prepare } from './harness/library.ts'
import { checkMemory, measureMemory } from './harness/memory.ts'
import { checkMicro, measureMicro } from './harness/micro.ts'
import type { Row } from './harness/row.ts'
import type { Samples } from './harness/samples.ts'
import { checkServers, measureServers } from './harness/servers.ts'
import { tableOf } from './report/table.ts'
import { verdictsOf } from './report/verdict.ts'
import { rows } from './rows/index.ts'

const { values: options, positionals: filters } = parseArgs({
  allowPositionals: true,
  options: {
    node: { type: 'string', multiple: true, default: ['26', '24', '22'] },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
  },
})
const { quick } = options

const chosen = rows.filter(isChosen)
if (chosen.length === 0) throw new Error(`No row is called ${filters.join(' or ')}.`)
prepare()
if (options.smoke) {
  for (const row of chosen) {
    await attempt(row.name, () => check(row, runtimePath('node26')))
    console.log(`${row.name}: ${row.sides.length} sides`)
  }
  console.log(`smoke: ${chosen.length} rows, all sides as they should be`)
} else {
  let [met, all] = [0, 0]
  for (const row of chosen) {
    for (const version of options.node) {
      const samples = await attempt(`${row.name}, Node ${version}`, () =>
        measure(row, runtimePath(`node${version}` as RuntimeName)),
      )
      if (samples === undefined) continue
      const verdicts = verdictsOf(row, samples)
      met += verdicts.filter((verdict) => verdict.met).length
      all += verdicts.length
      console.log(tableOf(row, version, samples, verdicts))
    }
  }
  console.log(`bench: ${met} of ${all} targets met`)
}

function isChosen(row: Row): boolean {
  return filters.length === 0 || filters.some((filter) => row.kind === filter || row.name.includes(filter))
}

function check(row: Row, node: string): Promise<void> {
  if (row.kind === 'fastify') return checkServers(row, node)
  if (row.kind === 'memory') return checkMemory(row, node)
  return checkMicro(row, node)
}

function measure(row: Row, node: string): Promise<Samples> {
  const rounds = options.rounds === undefined ? undefined : Number(options.rounds)
  switch (row.kind) {
    case 'micro':
      return measureMicro(row, { node, rounds: rounds ?? (quick ? 1 : 2), batches: quick ? 7 : 11, batchMs: quick ? 15 : 25 })
    case 'growth':
      return measureMicro(row, { node, rounds: rounds ?? 1, batches: quick ? 3 : 7, batchMs: quick ? 10 : 20 })
    case 'memory':
      return measureMemory(row, { node, rounds: rounds ?? (quick ? 1 : 3) })
    case 'fastify': {
      const [windows, windowMs, warmUpRequests] = quick ? [3, 400, 6_000] : [5, 1000, 20_000]
      return measureServers(row, { node, windows: rounds ?? windows, windowMs, connections: 50, warmUpRequests })
    }
  }
}

/** A row that fails stops itself, and not the others. */
async function attempt<T>(what: string, run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run()
  } catch (error) {
    console.error(`${what} has failed.`, error)
    process.exitCode = 1
    return undefined
  }
}
