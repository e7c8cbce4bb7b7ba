// `npm run bench`: measures the library beside the floor and its peers, and writes `docs/benchmarks.md`.
import { parseArgs } from 'node:util'
import { type RuntimeName, runtimePath } from '../scripts/runtimes.ts'
import { prepare } from './harness/library.ts'
import { checkMicro, measureMicro } from './harness/micro.ts'
import type { MicroRow } from './harness/row.ts'
import { microTable } from './report/table.ts'
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

const chosen = rows.filter(isChosen)
if (chosen.length === 0) throw new Error(`No row is called ${filters.join(' or ')}.`)
prepare()
if (options.smoke) {
  for (const row of chosen) {
    await attempt(row.name, () => checkMicro(row, runtimePath('node26')))
    console.log(`${row.name}: ${row.sides.length} sides`)
  }
  console.log(`smoke: ${chosen.length} rows, all sides as they should be`)
} else {
  let [met, all] = [0, 0]
  for (const row of chosen) {
    for (const version of options.node) {
      const samples = await attempt(`${row.name}, Node ${version}`, () => measureMicro(row, {
        node: runtimePath(`node${version}` as RuntimeName),
        rounds: Number(options.rounds ?? (options.quick ? 1 : 3)),
        batches: options.quick ? 7 : 11,
        batchMs: options.quick ? 15 : 25,
      }))
      if (samples === undefined) continue
      const verdicts = verdictsOf(row, samples)
      met += verdicts.filter((verdict) => verdict.met).length
      all += verdicts.length
      console.log(microTable(row, version, samples, verdicts))
    }
  }
  console.log(`bench: ${met} of ${all} targets met`)
}

function isChosen(row: MicroRow): boolean {
  return filters.length === 0 || filters.some((filter) => row.kind === filter || row.name.includes(filter))
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
