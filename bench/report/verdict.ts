import type { Figure, Role, Row, Target } from '../harness/row.ts'
import type { Samples } from '../harness/samples.ts'
import { ratioOf, type Spread, spreadOf } from '../harness/statistics.ts'

export interface Verdict {
  readonly words: string
  /** The side that ours was compared with; of several peers, the one that is hardest to beat. */
  readonly against: string
  /** What is bounded: a ratio of our figure to the other, or the figure itself, or how much more it is. */
  readonly value: Spread
  readonly unit: 'ratio' | Figure
  readonly met: boolean
}

/** What has become of a row's targets. */
export function verdictsOf(row: Row, samples: Samples): Verdict[] {
  return row.targets.map((target) => verdictOf(row, samples, target))
}

function verdictOf(row: Row, samples: Samples, target: Target): Verdict {
  const { words, figure, atMostItself } = target
  const us = samples.of(ourSide(row), figure)
  if (atMostItself !== undefined) {
    const value = spreadOf(us)
    return { words, against: ourSide(row), value, unit: figure, met: value.median <= atMostItself }
  }
  const [hardest] = row.sides
    .filter((side) => isAgainst(target, side))
    .map(({ name }) => ({ against: name, ...compare(target, us, samples.of(name, figure), samples) }))
    .toSorted((a, b) => excess(target, b.value) - excess(target, a.value))
  if (hardest === undefined) throw new Error(`Row '${row.name}' has no side '${target.against}'.`)
  return { words, ...hardest, met: excess(target, hardest.value) <= 0 }
}

function compare(
  { figure, above, atMostMore }: Target,
  us: readonly number[],
  them: readonly number[],
  samples: Samples,
): { value: Spread; unit: 'ratio' | Figure } {
  if (atMostMore !== undefined) {
    return { value: spreadOf(us.map((value, i) => value - (them[i] ?? Number.NaN))), unit: figure }
  }
  const base = above === undefined ? [] : samples.of(above, figure)
  const added = (figures: readonly number[]) => figures.map((value, i) => value - (base[i] ?? 0))
  return { value: ratioOf(added(us), added(them)), unit: 'ratio' }
}

export function ourSide(row: Pick<Row, 'sides'>): string {
  return (row.sides as readonly { name: string; role: Role }[]).find(({ role }) => role === 'ours')?.name ?? ''
}

function isAgainst({ against }: Target, { name, role }: { name: string; role: Role }): boolean {
  if (against === 'peers') return role === 'peer'
  return against === 'floor' ? role === 'floor' : name === against
}

/**
 * By how much a bound is missed; at most 0 if it is kept. A peer is better if it is so in three of four rounds: one that
 * does the same as we do is so in half of them.
 */
function excess({ against, atMost, atLeast, atMostMore }: Target, { median, lower, upper }: Spread): number {
  if (atMostMore !== undefined) return median - atMostMore
  const amongPeers = against === 'peers'
  if (atLeast !== undefined) return atLeast - (amongPeers ? upper : median)
  return (amongPeers ? lower : median) - (atMost ?? Number.NaN)
}
