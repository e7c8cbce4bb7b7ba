import { describe, expect, it } from 'vitest'
import { checkAll, describeFailure, inputsOf } from './campaign.ts'
import { keptTargets } from './corpus.ts'
import { doublingRatio, maxRatio } from './linearity.ts'
import { minimize } from './minimize.ts'
import { Random } from './random.ts'
import { ensure, type FuzzTarget } from './target.ts'
import { targets } from './targets/index.ts'

describe('the fuzzer', () => {
  const fails: FuzzTarget = {
    name: 'fails',
    seeds: ['a=1,b=2', 'abc'],
    tokens: ['=', ';'],
    read: (input) => input,
    check: (input) => ensure(!input.includes('='), 'has no equals sign', input),
  }

  it('finds a broken promise, makes the input small, and finds it again with the same seed', async () => {
    const failure = await checkAll(fails, inputsOf(fails, ['abc'], 7))
    const again = await checkAll(fails, inputsOf(fails, ['abc'], 7))

    expect(failure?.minimized).toBe('=')
    expect(again?.input).toBe(failure?.input)
    expect(describeFailure(fails, failure as never)).toContain(
      'fails has failed on "=": Error: has no equals sign: "="',
    )
  })

  it('finds a check that rejects, and one that throws a value that is not an error', async () => {
    const check = async (input: string) => {
      if (input === 'b') throw 'no'
    }

    expect(await checkAll({ ...fails, check }, ['a', 'b', 'c'])).toMatchObject({ input: 'b', error: 'no' })
  })

  it('sees that a parser is quadratic', { timeout: 60_000 }, async () => {
    const read = (input: string) => {
      let sum = 0
      for (let length = 0; length < input.length; length += 64) {
        for (let at = 0; at < length; at++) sum += input.charCodeAt(at)
      }
      return sum
    }

    expect(await doublingRatio({ ...fails, read }, 'a')).toBeGreaterThan(maxRatio)
  })

  it('leaves of a failing text what matters', async () => {
    const small = await minimize('some text with a needle, and more', async (text) => text.includes('needle'))

    expect(small).toBe('needle')
  })

  it('generates other inputs for other seeds, and does not repeat one input', () => {
    const inputsFor = (seed: number) => {
      const inputs = inputsOf(fails, fails.seeds, seed)
      return Array.from({ length: 50 }, () => inputs.next().value)
    }

    expect(inputsFor(0)).not.toEqual(inputsFor(1))
    expect(new Set(inputsFor(0)).size).toBeGreaterThan(25)
    expect(new Set(Array.from({ length: 100 }, (_, seed) => new Random(seed).below(1000))).size).toBeGreaterThan(80)
  })

  it('has a parser for each folder of kept inputs', () => {
    const names = targets.map(({ name }) => name)

    expect(keptTargets().filter((name) => !names.includes(name))).toEqual([])
    expect(new Set(names).size).toBe(names.length)
  })
})
