import type { Role, Row, Target } from '../harness/row.ts'
import type { Samples } from '../harness/samples.ts'
import { ratioOf, type Spread, spreadOf } from '../harness/statistics.ts'

export interface Verdict {
  readonly words: string
  /** The side that ours was compared with; of several peers, the one that is hardest to beat. */
  readonly against: string
  readonly ratio: Spread
  readonly met: boolean
}

/** What has become of a row's targets. */
export function verdictsOf(row: Row, samples: Samples): Verdict[] {
  return row.targets.map((target) => verdictOf(row, samples, target))
}

function verdictOf(row: Row, samples: Samples, target: Target): Verdict {
  const { words, figure, atMost, atMostMore } = target
  const base = target.above === undefined ? undefined : samples.of(target.above, figure)
  const figuresOf = (side: string) => samples.of(side, figure).map((value, i) => value - (base?.[i] ?? 0))
  const us = figuresOf(ourSide(row))
  const compared = row.sides
    .filter((side) => isAgainst(target, side))
    .map(({ name }) => ({ name, figures: figuresOf(name), ratio: ratioOf(us, figuresOf(name)) }))
    .toSorted((a, b) => (atMost === undefined ? a.ratio.median - b.ratio.median : b.ratio.median - a.ratio.median))
  const [hardest] = compared
  if (hardest === undefined) throw new Error(`Row '${row.name}' has no side '${target.against}'.`)
  const more = spreadOf(us.map((value, i) => value - (hardest.figures[i] ?? 0))).median
  const met = atMostMore === undefined ? isMet(target, hardest.ratio) : more <= atMostMore
  return { words, against: hardest.name, ratio: hardest.ratio, met }
}

export function ourSide(row: Row): string {
  return row.sides.find(({ role }) => role === 'ours')?.name ?? ''
}

function isAgainst({ against }: Target, { name, role }: { name: string; role: Role }): boolean {
  if (against === 'peers') return role === 'peer'
  return against === 'floor' ? role === 'floor' : name === against
}

/** A peer is better if it is so in three of four rounds: one that does the same as we do is so in half of them. */
function isMet({ against, atMost, atLeast }: Target, { median, lower, upper }: Spread): boolean {
  const amongPeers = against === 'peers'
  if (atMost !== undefined && (amongPeers ? lower : median) > atMost) return false
  return atLeast === undefined || (amongPeers ? upper : median) >= atLeast
}
