import type { Figure, Role, Row, Target } from '../harness/row.ts'
import type { Samples } from '../harness/samples.ts'
import { ratioOf, type Spread, spreadOf } from '../harness/statistics.ts'

export interface Verdict {
  readonly words: string
  /** The side that ours was compared with. For several peers: the peer that is hardest to beat. */
  readonly against: string
  /** What is bounded: a ratio of our figure to the other, or the figure itself, or the difference. */
  readonly value: Spread
  readonly met: boolean
}

/** The results of a row's targets. */
export function verdictsOf(row: Row, samples: Samples): Verdict[] {
  return row.targets.map((target) => verdictOf(row, samples, target))
}

function verdictOf(row: Row, samples: Samples, target: Target): Verdict {
  const { words, figure, atMostItself } = target
  const us = samples.of(ourSide(row), figure)
  if (atMostItself !== undefined) {
    const value = spreadOf(us)
    return { words, against: ourSide(row), value, met: isMet(target, value) }
  }
  const [hardest] = row.sides
    .filter((side) => isAgainst(target, side))
    .map(({ name }) => ({ against: name, value: compare(target, us, samples.of(name, figure), samples) }))
    .toSorted((a, b) => excess(target, b.value) - excess(target, a.value))
  if (hardest === undefined) throw new Error(`Row '${row.name}' has no side '${target.against}'.`)
  return { words, ...hardest, met: isMet(target, hardest.value) }
}

export function isMet(target: Target, value: Spread): boolean {
  return excess(target, value) <= 0
}

export function unitOf({ figure, atMostMore, atMostItself }: Target): 'ratio' | Figure {
  return atMostMore === undefined && atMostItself === undefined ? 'ratio' : figure
}

function compare(
  { figure, above, atMostMore }: Target,
  us: readonly number[],
  them: readonly number[],
  samples: Samples,
): Spread {
  if (atMostMore !== undefined) return spreadOf(us.map((value, i) => value - (them[i] ?? Number.NaN)))
  const base = above === undefined ? [] : samples.of(above, figure)
  const added = (figures: readonly number[]) => figures.map((value, i) => value - (base[i] ?? 0))
  return ratioOf(added(us), added(them))
}

export function ourSide(row: Pick<Row, 'sides'>): string {
  return (row.sides as readonly { name: string; role: Role }[]).find(({ role }) => role === 'ours')?.name ?? ''
}

function isAgainst({ against }: Target, { name, role }: { name: string; role: Role }): boolean {
  if (against === 'peers') return role === 'peer'
  return against === 'floor' ? role === 'floor' : name === against
}

/**
 * How far a value is beyond its bound; at most 0 if the target is met. A peer counts as better if it was better in three
 * of four rounds: an equal peer is better in half of them.
 */
function excess(target: Target, { median, lower, upper }: Spread): number {
  const { against, atMost, atLeast, atMostMore, atMostItself } = target
  if (atMostItself !== undefined) return median - atMostItself
  if (atMostMore !== undefined) return median - atMostMore
  const amongPeers = against === 'peers'
  if (atLeast !== undefined) return atLeast - (amongPeers ? upper : median)
  return (amongPeers ? lower : median) - (atMost ?? Number.NaN)
}
