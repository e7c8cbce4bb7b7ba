import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { baseOf, type Row, type Target } from '../harness/row.ts'
import type { Samples } from '../harness/samples.ts'
import { ratioOf, type Spread, spreadOf } from '../harness/statistics.ts'
import { isMet, type Verdict } from './verdict.ts'

/** `docs/benchmarks/summary.json`: the numbers of the page and the charts. Their words are in the rows. */
export interface Summary {
  /** By date. */
  readonly runs: Readonly<Record<string, Run>>
  readonly rows: Readonly<Record<string, RowSummary>>
}

/** What the figures of a run depend on besides the code. */
export interface Run {
  readonly machine: { readonly cpu: string; readonly cores: number; readonly system: string }
  /** By major version. */
  readonly nodes: Readonly<Record<string, string>>
  readonly packages: Readonly<Record<string, string>>
}

/** A record by the major version of Node. */
export type ByNode<T> = Readonly<Record<string, T>>

export interface RowSummary {
  /** The date of its run. */
  readonly date: string
  /** Whether there were so few rounds that the figures are a first impression. */
  readonly quick: boolean
  /** By the name of the side. */
  readonly sides: Readonly<Record<string, ByNode<Figures>>>
  /** By the words of the target: median and quartiles of the value that it bounds. */
  readonly targets: Readonly<Record<string, ByNode<Triple>>>
}

/**
 * Medians, and quartiles in the order median, lower, upper. By kind of row:
 *
 * - micro: ns, its ratio to the base with quartiles, and bytes if the row has some
 * - growth: ns with quartiles
 * - memory: bytes, how many more than the base
 * - fastify: requests/s, their ratio with quartiles, CPU µs, how many more than the base, p99 ms
 */
export type Figures = readonly number[]

type Triple = readonly [median: number, lower: number, upper: number]

/** The place of the figure that a chart shows. */
export const charted: Readonly<Record<Row['kind'], number>> = { micro: 0, growth: 0, memory: 0, fastify: 4 }

/** The figures of one side on one Node. */
export function figuresOf(row: Row, side: string, samples: Samples): Figures {
  const base = baseOf(row)
  const value = (figure: Target['figure']) => spreadOf(samples.of(side, figure))
  const ratio = (figure: Target['figure']) => triple(ratioOf(samples.of(side, figure), samples.of(base, figure)))
  const more = (figure: Target['figure']) => {
    const others = samples.of(base, figure)
    return spreadOf(samples.of(side, figure).map((own, i) => own - (others[i] ?? Number.NaN))).median
  }
  const figures = {
    micro: () => [value('ns').median, ...ratio('ns'), ...samples.of(side, 'bytes').slice(0, 1)],
    growth: () => triple(value('ns')),
    memory: () => [value('bytes').median, more('bytes')],
    fastify: () => [
      value('requests/s').median,
      ...ratio('requests/s'),
      value('CPU µs').median,
      more('CPU µs'),
      value('p99 ms').median,
    ],
  }[row.kind]()
  return figures.map(round)
}

/** A row on one Node. */
export interface NodeSummary {
  readonly node: string
  readonly samples: Samples
  readonly verdicts: readonly Verdict[]
}

export function rowSummary(
  row: Row,
  nodes: readonly NodeSummary[],
  { quick, date }: Pick<RowSummary, 'quick' | 'date'>,
): RowSummary {
  const byNode = <T>(of: (node: NodeSummary) => T): ByNode<T> =>
    Object.fromEntries(nodes.map((result) => [result.node, of(result)]))
  const sides = row.sides.map(({ name }) => [name, byNode(({ samples }) => figuresOf(row, name, samples))] as const)
  const targets = row.targets.map(
    ({ words }, i) =>
      [
        words,
        byNode(({ verdicts }): Triple => {
          const { median, lower, upper } = verdicts[i]?.value ?? spreadOf([])
          return [round(median), round(lower), round(upper)]
        }),
      ] as const,
  )
  return { date, quick, sides: Object.fromEntries(sides), targets: Object.fromEntries(targets) }
}

export function spread([median = Number.NaN, lower = median, upper = median]: Figures): Spread {
  return { median, lower, upper }
}

/**
 * The rows of `now`, and the other rows of an earlier run, in the given order.
 *
 * @throws {Error} if rows that are kept were measured on the same day with another machine, Node or package.
 */
export function merged(earlier: Summary, now: Summary, order: readonly string[]): Summary {
  const all = { ...earlier.rows, ...now.rows }
  const rows = order.flatMap((name) => (all[name] ? [[name, all[name]] as const] : []))
  const dates = new Set(rows.map(([, { date }]) => date))
  for (const [date, run] of Object.entries(now.runs)) {
    const isKept = rows.some(([name, row]) => row.date === date && now.rows[name] === undefined)
    if (isKept && JSON.stringify(earlier.runs[date]) !== JSON.stringify(run)) {
      throw new Error(`bench: other rows of ${date} have another machine, Node or packages. Measure these again too.`)
    }
  }
  const runs = Object.entries({ ...earlier.runs, ...now.runs }).filter(([date]) => dates.has(date))
  return { runs: Object.fromEntries(runs), rows: Object.fromEntries(rows) }
}

/** The major versions of Node that any row was measured on, the oldest first. */
export function nodesOf({ runs }: Pick<Summary, 'runs'>): string[] {
  const versions = new Set(Object.values(runs).flatMap(({ nodes }) => Object.keys(nodes)))
  return [...versions].toSorted((a, b) => Number(a) - Number(b))
}

export function today(): string {
  return new Date().toISOString().slice(0, 10)
}

/** A run of now, with these versions of Node. */
export function runOf(nodes: ByNode<string>): Run {
  const all = cpus()
  return {
    machine: {
      cpu: all[0]?.model.trim() ?? 'unknown',
      cores: all.length,
      system: `${process.platform} ${process.arch}`,
    },
    nodes,
    packages: packageVersions(),
  }
}

export function countTargets(rows: readonly Row[], summary: Summary['rows']): { met: number; all: number } {
  const judged = rows.flatMap((row) =>
    row.targets.flatMap((target) =>
      Object.values(summary[row.name]?.targets[target.words] ?? {}).map((value) => isMet(target, spread(value))),
    ),
  )
  return { met: judged.filter(Boolean).length, all: judged.length }
}

function packageVersions(): Record<string, string> {
  const bench = join(import.meta.dirname, '..')
  const { dependencies } = readJson(join(bench, 'package.json')) as { dependencies: Record<string, string> }
  const versions = Object.keys(dependencies)
    .filter((name) => !name.startsWith('@types/'))
    .map((name) => [name, (readJson(join(bench, 'node_modules', name, 'package.json')) as { version: string }).version])
  return Object.fromEntries(versions) as Record<string, string>
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'))
}

function triple({ median, lower, upper }: Spread): Triple {
  return [median, lower, upper]
}

/** Four significant digits: the rest is noise. */
function round(value: number): number {
  return Number(value.toPrecision(4))
}
