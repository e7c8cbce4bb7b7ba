import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkAll, describeFailure, inputsOf } from './campaign.ts'
import { readCorpus } from './corpus.ts'
import { doublingRatio, maxRatio, worstPieces } from './linearity.ts'
import type { FuzzTarget } from './target.ts'

const count = 100_000
/**
 * The same inputs each time: chance does not decide what lands. `FUZZ_SEED=7 npm test -- test/fuzz -t tracestate` tries
 * others, and `npm run fuzz` others each time, for longer.
 */
const seed = Number(process.env['FUZZ_SEED'] ?? 1)

/** What each parser promises; in two files, so that two workers have half of it each. */
export function describeTargets(targets: readonly FuzzTarget[]): void {
  // Many fuzzed options throw. Stacks would only cost time.
  const { stackTraceLimit } = Error
  beforeAll(() => {
    Error.stackTraceLimit = 0
  })
  afterAll(() => {
    Error.stackTraceLimit = stackTraceLimit
  })

  describe.each(targets)('the parser of $name', (target) => {
    it('has its properties for the inputs that failed once', async () => {
      await expectKept(target, [...target.seeds, ...readCorpus(target, 'reached'), ...readCorpus(target, 'failed')])
    })

    it('has its properties for 100,000 inputs', { timeout: 120_000 }, async () => {
      await expectKept(target, take(inputsOf(target, [...target.seeds, ...readCorpus(target, 'reached')], seed)))
    })

    it('takes at most 2.5 times as long for twice the text', { timeout: 120_000 }, async () => {
      const tooSlow: Record<string, number> = {}
      for (const piece of worstPieces) {
        const ratio = await doublingRatio(target, piece)
        if (ratio > maxRatio) tooSlow[piece] = ratio
      }

      expect(tooSlow).toEqual({})
    })
  })
}

async function expectKept(target: FuzzTarget, inputs: Iterable<string>): Promise<void> {
  const failure = await checkAll(target, inputs)
  if (failure !== undefined) throw new Error(`${describeFailure(target, failure)}\nwith FUZZ_SEED=${seed}`)
}

function* take(inputs: Generator<string, never>): Generator<string> {
  for (let i = 0; i < count; i++) yield inputs.next().value
}
