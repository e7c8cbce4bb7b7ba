// `npm run fuzz -- baggage --seconds=600 --seed=7`: searches inputs that break a promise, for the named parsers or for all.
// Inputs that reach new code are kept and mutated further. Inputs that fail are minimized and kept.
import { parseArgs } from 'node:util'
import { checkAll, describeFailure, inputsOf } from '../test/fuzz/campaign.ts'
import { addToCorpus, readCorpus } from '../test/fuzz/corpus.ts'
import { Coverage } from '../test/fuzz/coverage.ts'
import type { FuzzTarget } from '../test/fuzz/target.ts'
import { targets } from '../test/fuzz/targets/index.ts'

const { positionals: names, values } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '30' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
})
const unknown = names.filter((name) => !targets.some((target) => target.name === name))
if (unknown.length > 0) {
  console.error(
    `There is no parser '${unknown.join("', '")}'. The parsers are: ${targets.map(({ name }) => name).join(', ')}.`,
  )
  process.exit(1)
}
const seconds = Number(values.seconds)
const seed = Number(values.seed)
/** The coverage is read once per batch, because the read is slow. */
const batchSize = 2000
/** A longer input is mutated in this run, and not kept. */
const longestKept = 400

// Many fuzzed options throw. Stacks would only cost time.
Error.stackTraceLimit = 0
const chosen = names.length === 0 ? targets : targets.filter(({ name }) => names.includes(name))
const rows: Row[] = []
for (const target of chosen) rows.push(await fuzz(target))

console.table(rows)
const total = rows.reduce((sum, { inputs }) => sum + inputs, 0)
const failed = rows.filter(({ failure }) => failure !== '')
const rates = rows.map((row) => row['inputs/s'])
console.log(
  `fuzz: ${rows.length} parsers, ${total.toLocaleString('en')} inputs, ${failed.length} failed; ` +
    `${Math.min(...rates).toLocaleString('en')} to ${Math.max(...rates).toLocaleString('en')} inputs a second; seed ${seed}`,
)
if (failed.length > 0) process.exitCode = 1

interface Row {
  parser: string
  inputs: number
  'inputs/s': number
  /** The number of inputs that reached new code. */
  reached: number
  failure: string
}

async function fuzz(target: FuzzTarget): Promise<Row> {
  const coverage = await Coverage.start()
  const pool = [...target.seeds, ...readCorpus(target, 'reached'), ...readCorpus(target, 'failed')]
  let failure = await checkAll(target, pool)
  await coverage.add()

  const reached: string[] = []
  const all = inputsOf(target, pool, seed)
  const startedAt = performance.now()
  const pooled = pool.length
  let inputs = 0
  while (failure === undefined && performance.now() - startedAt < seconds * 1000) {
    const batch = Array.from({ length: batchSize }, () => all.next().value)
    failure = await checkAll(target, batch)
    inputs += batchSize
    if (await coverage.isNew()) reached.push(...(await reachingNew(target, batch, coverage)))
    pool.push(...reached.slice(pool.length - pooled))
  }
  const elapsedMs = performance.now() - startedAt
  coverage.stop()
  addToCorpus(
    target,
    'reached',
    reached.filter(({ length }) => length <= longestKept),
  )
  if (failure !== undefined) {
    addToCorpus(target, 'failed', [failure.minimized])
    console.error(describeFailure(target, failure))
  }
  return {
    parser: target.name,
    inputs,
    'inputs/s': Math.round((inputs / elapsedMs) * 1000),
    reached: reached.length,
    failure: failure === undefined ? '' : JSON.stringify(failure.minimized).slice(0, 80),
  }
}

/** The inputs of a batch that reach new code. It runs halves again, because a read of the coverage takes milliseconds. */
async function reachingNew(target: FuzzTarget, batch: readonly string[], coverage: Coverage): Promise<string[]> {
  await checkAll(target, batch)
  if (batch.length === 1) return (await coverage.add()) ? [...batch] : []
  if (!(await coverage.isNew())) return []
  const half = batch.length >> 1
  return [
    ...(await reachingNew(target, batch.slice(0, half), coverage)),
    ...(await reachingNew(target, batch.slice(half), coverage)),
  ]
}
