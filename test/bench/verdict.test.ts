import { describe, expect, it } from 'vitest'
import type { MicroRow, Target } from '../../bench/harness/row.ts'
import { Samples } from '../../bench/harness/samples.ts'
import { verdictsOf } from '../../bench/report/verdict.ts'

const setup = () => ({ op() {}, check() {} })
const sides: MicroRow['sides'] = [
  { name: 'by hand', role: 'floor', setup },
  { name: 'us', role: 'ours', setup },
  { name: 'peer a', role: 'peer', setup },
  { name: 'peer b', role: 'peer', setup },
  { name: 'bare', role: 'reference', setup },
]

function judge(figures: Record<string, readonly number[]>, target: Omit<Target, 'words' | 'figure'>) {
  const samples = new Samples()
  for (const [side, list] of Object.entries(figures)) for (const value of list) samples.add(side, 'ns', value)
  const targets = [{ words: 'as said', figure: 'ns' as const, ...target }]
  return verdictsOf({ kind: 'micro', name: 'row', title: 'A row', about: '', sides, targets }, samples)[0]
}

describe('verdictsOf', () => {
  it('compares figures that were measured one after the other, and takes the median', () => {
    // The machine was three times as slow in the last round.
    const figures = { 'by hand': [10, 10, 30], us: [11, 12, 36] }

    expect(judge(figures, { against: 'floor', atMost: 1.2 })).toMatchObject({ against: 'by hand', met: true })
    expect(judge(figures, { against: 'floor', atMost: 1.19 })).toMatchObject({ value: { median: 1.2 }, met: false })
  })

  it('finds the peer that is clearly faster, after one that only seems to be', () => {
    const figures = { us: [10, 10, 10, 10], 'peer a': [5, 5, 20, 20], 'peer b': [9, 9, 9, 9] }

    expect(judge(figures, { against: 'peers', atMost: 1 })).toMatchObject({ against: 'peer b', met: false })
  })

  it('calls no peer faster that is faster in half of the rounds', () => {
    const figures = { us: [10, 10, 10, 10], 'peer a': [9, 9, 11, 11], 'peer b': [20, 20, 20, 20] }

    expect(judge(figures, { against: 'peers', atMost: 1 })).toMatchObject({ met: true })
  })

  it('expects a higher figure where higher is better', () => {
    const figures = { 'by hand': [100, 100, 100], us: [96, 96, 99] }

    expect(judge(figures, { against: 'floor', atLeast: 0.97 })).toMatchObject({ met: false })
    expect(judge(figures, { against: 'floor', atLeast: 0.96 })).toMatchObject({ met: true })
  })

  it('compares what two sides add to a third one', () => {
    const figures = { bare: [100, 100, 100], us: [110, 110, 110], 'peer a': [140, 140, 140], 'peer b': [1, 1, 1] }

    expect(judge(figures, { against: 'peer a', above: 'bare', atMost: 1 / 3 })).toMatchObject({
      value: { median: 0.25 },
      met: true,
    })
  })

  it('bounds the difference, or the figure itself, if the target is one of those', () => {
    const figures = { 'by hand': [3000, 3000, 3000], us: [3400, 3500, 3600] }

    expect(judge(figures, { against: 'floor', atMostMore: 400 })).toMatchObject({ value: { median: 500 }, met: false })
    expect(judge(figures, { against: 'us', atMostItself: 3500 })).toMatchObject({ value: { median: 3500 }, met: true })
  })
})
