import { cpus } from 'node:os'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Figure, Role, Row } from '../harness/row.ts'
import type { Samples } from '../harness/samples.ts'
import { ratioOf, type Spread, spreadOf } from '../harness/statistics.ts'
import { type Verdict, verdictsOf } from './verdict.ts'

/** All of a run, as it is in `docs/benchmarks/results.json`. The page and the charts are made of nothing else. */
export interface Results {
  readonly date: string
  readonly machine: { readonly cpu: string; readonly cores: number; readonly system: string }
  /** By the major version. */
  readonly nodes: Readonly<Record<string, string>>
  readonly packages: Readonly<Record<string, string>>
  readonly rows: readonly RowResult[]
}

export interface RowResult {
  readonly name: string
  readonly kind: Row['kind']
  readonly title: string
  readonly about: string
  /** Of a row of curves. */
  readonly axis?: string
  /** Whether it was measured in so few rounds that its figures are a first impression. */
  readonly quick: boolean
  readonly nodes: readonly NodeResult[]
}

export interface NodeResult {
  /** The major version. */
  readonly node: string
  readonly sides: readonly SideResult[]
  readonly verdicts: readonly Verdict[]
}

export interface SideResult {
  readonly name: string
  readonly role: Role
  readonly line?: string
  readonly size?: number
  /** Whether the others are related to this one: the floor, or ours where there is none. */
  readonly isBase: boolean
  readonly figures: readonly { figure: Figure; value: Spread; ratio: Spread; more: Spread }[]
}

/** The figures of each kind of row, the most telling one first. */
export const figuresOf: Readonly<Record<Row['kind'], readonly Figure[]>> = {
  micro: ['ns'],
  growth: ['ns'],
  memory: ['bytes'],
  fastify: ['requests/s', 'CPU µs', 'p99 ms'],
}

export function nodeResult(row: Row, node: string, samples: Samples): NodeResult {
  const all: readonly { name: string; role: Role; line?: string; size?: number }[] = row.sides
  const base = all.find(({ role }) => role === 'floor') ?? all.find(({ role }) => role === 'ours')
  const sides = all.map(({ name, role, line, size }) => {
    const figures = figuresOf[row.kind].map((figure) => {
      const [values, others] = [samples.of(name, figure), samples.of(base?.name ?? '', figure)]
      const more = values.map((value, i) => value - (others[i] ?? Number.NaN))
      return {
        figure,
        value: short(spreadOf(values)),
        ratio: short(ratioOf(values, others)),
        more: short(spreadOf(more)),
      }
    })
    return {
      name,
      role,
      ...(line === undefined ? {} : { line, size: size ?? 0 }),
      isBase: name === base?.name,
      figures,
    }
  })
  const verdicts = verdictsOf(row, samples).map((verdict) => ({ ...verdict, value: short(verdict.value) }))
  return { node, sides, verdicts }
}

export function rowResult(
  { name, kind, title, about, ...row }: Row,
  nodes: readonly NodeResult[],
  { quick }: { quick: boolean },
): RowResult {
  return { name, kind, title, about, ...('axis' in row ? { axis: row.axis } : {}), quick, nodes }
}

/**
 * The results of a run of some rows, and of an earlier one what it has not measured.
 *
 * @throws {Error} for an earlier run in other surroundings: its figures would stand beside others of another kind.
 */
export function merged(earlier: Results, now: Results, order: readonly string[]): Results {
  if (inWords(earlier) !== inWords(now)) {
    throw new Error(
      'bench: --write with some rows keeps the others, which were measured in other surroundings. Run all.',
    )
  }
  const rows = new Map([...earlier.rows, ...now.rows].map((row) => [row.name, row]))
  return { ...now, rows: order.flatMap((name) => rows.get(name) ?? []) }
}

function inWords({ machine, nodes, packages }: Results): string {
  return JSON.stringify([machine, nodes, packages])
}

/** The machine that runs this; nothing of it but what a figure depends on. */
export function surroundings(nodes: Readonly<Record<string, string>>): Omit<Results, 'rows'> {
  const all = cpus()
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: {
      cpu: all[0]?.model.trim() ?? 'unknown',
      cores: all.length,
      system: `${process.platform} ${process.arch}`,
    },
    nodes,
    packages: packageVersions(),
  }
}

export function countTargets(rows: readonly RowResult[]): { met: number; all: number } {
  const judged = rows.flatMap(({ nodes }) => nodes.flatMap(({ verdicts }) => verdicts))
  return { met: judged.filter(({ met }) => met).length, all: judged.length }
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

/** Four digits that count: more would be noise. */
function short({ median, lower, upper }: Spread): Spread {
  return { median: round(median), lower: round(lower), upper: round(upper) }
}

function round(value: number): number {
  return Number(value.toPrecision(4))
}
