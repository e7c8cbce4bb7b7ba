// `npm run bench`: measures the library, a floor and the peers, and writes `docs/benchmarks.md`.
import { parseArgs } from 'node:util'
import { errorOf, isSteady, measureUntilSteady } from './harness/control.ts'
import { prepare } from './harness/library.ts'
import type { Row } from './harness/row.ts'
import { checkRow, measureRow } from './harness/rows.ts'
import { runtimePath, versionOf } from './harness/nodes.ts'
import { countTargets, merged, type NodeSummary, rowSummary, type RowSummary, runOf, today } from './report/summary.ts'
import { tableOf } from './report/table.ts'
import { verdictsOf } from './report/verdict.ts'
import { plainRows, rows } from './rows/index.ts'

const { values: options, positionals: filters } = parseArgs({
  allowPositionals: true,
  options: {
    /** A major version. Repeat it for several versions. */
    node: { type: 'string', multiple: true, default: ['26', '24', '22'] },
    /** The number of processes for each side, and of load windows for each server. */
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    /** Only the assertions. */
    smoke: { type: 'boolean', default: false },
    /** Writes the page after a run of some rows. The other rows stay as they are. */
    write: { type: 'boolean', default: false },
    /** Only the rows that the last run did not reach, or that failed or were not steady in it. Writes the page. */
    rest: { type: 'boolean', default: false },
    /** Writes the page and the charts from the last summary. Measures nothing. */
    report: { type: 'boolean', default: false },
  },
})
const newestNode = String(Math.max(...options.node.map(Number)))
if ((options.write || options.rest) && options.node.length < 3) {
  throw new Error('Without --node: a row of the page has the figures of each Node.')
}
const chosen = rows.filter(isChosen)
if (chosen.length === 0) throw new Error(`No row has a name with ${filters.join(' or ')}.`)

prepare()
// It imports the library of the charts, which prepare() installs.
const { chartsOf, keepRows, keptRows, readSummary, renderSvg, writeReport } = await import('./report/write.ts')
if (options.report) writeReport(readSummary())
else if (options.smoke) await smoke()
else await measure()

async function smoke(): Promise<void> {
  let right = 0
  for (const row of plainRows.filter(isChosen)) {
    const passed = await attempt(row.name, async () => {
      await checkRow(row, runtimePath('26'))
      return true
    })
    if (!passed) continue
    right++
    console.log(`${row.name}: ${row.sides.length} sides`)
  }
  const charts = await attempt('charts', async () => chartsOf(readSummary()).map(([, chart]) => renderSvg(chart)))
  console.log(
    `bench, smoke run: all sides of ${right} of ${chosen.length} rows do what they should; ${charts?.length ?? 0} charts`,
  )
}

async function measure(): Promise<void> {
  const versions = Object.fromEntries(options.node.map((version) => [version, versionOf(version)]))
  const isFull = filters.length === 0 && options.node.length === 3 && !options.quick
  const before = options.rest ? keptRows() : options.write ? readSummary() : undefined
  const left = options.rest ? chosen.filter(({ name }) => before?.rows[name] === undefined) : chosen
  const date = today()
  const summaries: Record<string, RowSummary> = {}
  const noisy: string[] = []
  const all = () => {
    const now = { runs: { [date]: runOf(versions) }, rows: summaries }
    const order = rows.map(({ name }) => name)
    return before === undefined ? now : merged(before, now, order)
  }
  for (const row of left) {
    const begun = performance.now()
    const nodes: NodeSummary[] = []
    for (const version of nodesOf(row)) {
      const { rounds, quick } = options
      const samples = await attempt(`${row.name}, Node ${version}`, () =>
        measureUntilSteady(row, () =>
          measureRow(row, {
            node: runtimePath(version),
            quick,
            ...(rounds === undefined ? {} : { rounds: Number(rounds) }),
          }),
        ),
      )
      if (samples === undefined) continue
      const result = { node: version, samples, verdicts: verdictsOf(row, samples) }
      console.log(tableOf(row, result))
      if (isSteady(row, samples)) nodes.push(result)
      else noisy.push(`${row.name} on Node ${version}, ${(errorOf(row, samples) * 100).toFixed(0)} %`)
    }
    console.log(`${row.name}: measured in ${minutesSince(begun)} minutes`)
    if (nodes.length < nodesOf(row).length) continue
    summaries[row.name] = rowSummary(row, nodes, { quick: options.quick, date })
    if (isFull) keepRows(all())
  }
  if (noisy.length > 0) {
    process.exitCode = 1
    console.error(
      `bench: two sides with the same code differ by more than 5 %, so no page is written: ${noisy.join('; ')}. ` +
        'Measure these rows again with --rest.',
    )
  }
  if ((isFull || options.write) && process.exitCode === undefined) writeReport(all())
  const { met, all: count } = countTargets(left, summaries)
  console.log(`bench: ${met} of ${count} targets met, in ${minutesSince(0)} minutes`)
}

/** Curves, and rows without a target, are measured on the newest Node alone: all rows on each would take hours. */
function nodesOf({ kind, targets, newestNodeOnly }: Row): readonly string[] {
  return newestNodeOnly === true || kind === 'growth' || targets.length === 0 ? [newestNode] : options.node
}

function minutesSince(begun: number): string {
  return ((performance.now() - begun) / 60_000).toFixed(1)
}

function isChosen(row: Row): boolean {
  return filters.length === 0 || filters.some((filter) => row.kind === filter || row.name.includes(filter))
}

/** A row that fails does not stop the other rows. */
async function attempt<T>(what: string, run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run()
  } catch (error) {
    console.error(`${what} failed.`, error)
    process.exitCode = 1
    return undefined
  }
}
