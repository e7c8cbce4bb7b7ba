import type { Samples } from '../harness/micro.ts'
import type { MicroRow, Target } from '../harness/row.ts'
import { ratioOf, type Spread } from '../harness/statistics.ts'

export interface Verdict {
  readonly words: string
  /** The side that the ratio is to; of several peers, the one that is hardest to beat. */
  readonly against: string
  readonly ratio: Spread
  readonly met: boolean
}

/** What has become of a row's targets. */
export function verdictsOf(row: MicroRow, samples: Samples): Verdict[] {
  const ours = samples.get(row.sides.find(({ role }) => role === 'ours')?.name ?? '') ?? []
  return row.targets.map((target) => {
    const others = row.sides.filter((side) => isAgainst(target, side))
    const [hardest] = others
      .map(({ name }) => ({ name, ratio: ratioOf(ours, samples.get(name) ?? []) }))
      .toSorted((a, b) => b.ratio.median - a.ratio.median)
    if (hardest === undefined) throw new Error(`Row '${row.name}' has no side '${target.against}'.`)
    return { words: target.words, against: hardest.name, ratio: hardest.ratio, met: isMet(target, hardest.ratio) }
  })
}

function isAgainst({ against }: Target, { name, role }: { name: string; role: string }): boolean {
  if (against === 'peers') return role === 'peer'
  return against === 'floor' ? role === 'floor' : name === against
}

/** A peer is faster if it is so in three of four batches: one that does the same as we do is so in half of them. */
function isMet({ against, atMost }: Target, { median, lower }: Spread): boolean {
  return (against === 'peers' ? lower : median) <= atMost
}
