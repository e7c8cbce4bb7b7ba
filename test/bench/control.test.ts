import { describe, expect, it } from 'vitest'
import { errorOf, isSteady, measureUntilSteady, withControl } from '../../bench/harness/control.ts'
import type { GrowthRow, MemoryRow, MicroRow } from '../../bench/harness/row.ts'
import { Samples } from '../../bench/harness/samples.ts'

const setup = () => ({ op() {}, check() {} })
const micro: MicroRow = {
  name: 'row',
  kind: 'micro',
  title: 'A row',
  about: '',
  targets: [],
  sides: [
    { name: 'us', role: 'ours', setup },
    { name: 'by hand', role: 'floor', setup },
  ],
}

function samplesOf(figures: Record<string, readonly number[]>, figure: 'ns' | 'bytes' = 'ns'): Samples {
  const samples = new Samples()
  for (const [side, list] of Object.entries(figures)) for (const value of list) samples.add(side, figure, value)
  return samples
}

describe('withControl', () => {
  it('adds the floor once more', () => {
    expect(withControl(micro).sides).toEqual([...micro.sides, { name: 'by hand, once more', role: 'reference', setup }])
  })

  it('adds our side where the row has no floor', () => {
    const { sides } = withControl({ ...micro, sides: micro.sides.slice(0, 1) })

    expect(sides.map(({ name }) => name)).toEqual(['us', 'us, once more'])
  })

  it('leaves curves as they are', () => {
    const curves: GrowthRow = { ...micro, kind: 'growth', axis: 'tasks', sides: [] }

    expect(withControl(curves)).toBe(curves)
  })
})

describe('errorOf', () => {
  it('is the median of the ratios between the two sides, minus one', () => {
    const samples = samplesOf({ 'by hand': [10, 100, 20], 'by hand, once more': [11, 100, 26] })

    expect(errorOf(micro, samples)).toBeCloseTo(0.1)
  })

  it('compares the figure of the row’s kind', () => {
    const memory: MemoryRow = {
      ...micro,
      kind: 'memory',
      count: 1,
      thing: 'task',
      sides: [{ name: 'bare', role: 'floor', prepare: async () => async () => {} }],
    }

    expect(errorOf(memory, samplesOf({ bare: [400], 'bare, once more': [300] }, 'bytes'))).toBeCloseTo(-0.25)
  })
})

describe('measureUntilSteady', () => {
  const rounds = (...controls: readonly number[]) => {
    const left = [...controls]
    return async () => samplesOf({ 'by hand': [100], 'by hand, once more': [left.shift() as number] })
  }

  it('measures a steady row once', async () => {
    const samples = await measureUntilSteady(micro, rounds(104, 150))

    expect(samples.of('by hand, once more', 'ns')).toEqual([104])
    expect(isSteady(micro, samples)).toBe(true)
  })

  it('measures a row again until its two equal sides agree, and keeps all samples', async () => {
    const samples = await measureUntilSteady(micro, rounds(130, 85, 101, 150))

    expect(samples.of('by hand, once more', 'ns')).toEqual([130, 85, 101])
    expect(samples.of('by hand', 'ns')).toEqual([100, 100, 100])
    expect(isSteady(micro, samples)).toBe(true)
  })

  it('ends after three times', async () => {
    const samples = await measureUntilSteady(micro, rounds(120, 120, 120, 120, 100))

    expect(samples.of('by hand, once more', 'ns')).toHaveLength(3)
    expect(isSteady(micro, samples)).toBe(false)
  })
})
