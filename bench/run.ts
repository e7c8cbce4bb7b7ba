// `npm run bench`: measures the library beside the floor and its peers, and writes `docs/benchmarks.md`.
import { parseArgs } from 'node:util'
import { prepare } from './harness/library.ts'
import type { Row } from './harness/row.ts'
import { checkRow, measureRow } from './harness/rows.ts'
import { runtimePath, versionOf } from './harness/nodes.ts'
import {
  countTargets,
  merged,
  nodeResult,
  type NodeResult,
  rowResult,
  type RowResult,
  surroundings,
} from './report/results.ts'
import { tableOf } from './report/table.ts'
import { readResults, writeReport } from './report/write.ts'
import { rows } from './rows/index.ts'

const { values: options, positionals: filters } = parseArgs({
  allowPositionals: true,
  options: {
    /** A major version; may be given several times. */
    node: { type: 'string', multiple: true, default: ['26', '24', '22'] },
    /** Fresh processes of each side, windows of load of each server. */
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    /** The assertions alone. */
    smoke: { type: 'boolean', default: false },
    /** Writes the page of a run that is not a full one; rows that were not measured stay as they are. */
    write: { type: 'boolean', default: false },
    /** Writes the page anew, of the results that are there. */
    report: { type: 'boolean', default: false },
  },
})
const chosen = rows.filter(isChosen)
if (chosen.length === 0) throw new Error(`No row is called ${filters.join(' or ')}.`)

if (options.report) writeReport(readResults())
else if (options.smoke) await smoke()
else await measure()

async function smoke(): Promise<void> {
  prepare()
  let right = 0
  for (const row of chosen) {
    const passed = await attempt(row.name, async () => {
      await checkRow(row, runtimePath('26'))
      return true
    })
    if (!passed) continue
    right++
    console.log(`${row.name}: ${row.sides.length} sides`)
  }
  console.log(`bench, smoke run: all sides of ${right} of ${chosen.length} rows do what they should`)
}

async function measure(): Promise<void> {
  prepare()
  const results: RowResult[] = []
  for (const row of chosen) {
    const nodes: NodeResult[] = []
    for (const version of options.node) {
      const { rounds, quick } = options
      const samples = await attempt(`${row.name}, Node ${version}`, () =>
        measureRow(row, {
          node: runtimePath(version),
          quick,
          ...(rounds === undefined ? {} : { rounds: Number(rounds) }),
        }),
      )
      if (samples === undefined) continue
      const result = nodeResult(row, version, samples)
      nodes.push(result)
      console.log(tableOf(row, result))
    }
    results.push(rowResult(row, nodes, options))
  }
  const isFull = filters.length === 0 && options.node.length === 3 && !options.quick && process.exitCode === undefined
  if (isFull || options.write) {
    const versions = Object.fromEntries(options.node.map((version) => [version, versionOf(version)]))
    const now = { ...surroundings(versions), rows: results }
    writeReport(
      isFull
        ? now
        : merged(
            readResults(),
            now,
            rows.map(({ name }) => name),
          ),
    )
  }
  const { met, all } = countTargets(results)
  console.log(`bench: ${met} of ${all} targets met`)
}

function isChosen(row: Row): boolean {
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
