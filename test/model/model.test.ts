import { describe, expect, it } from 'vitest'
import { findDifference } from './search.ts'
import { wrongParts } from './wrong-parts.ts'

/** The same programs each time: chance does not decide what lands, and `npm run prove` tries others each time. */
const seed = Number(process.env['MODEL_SEED'] ?? 1)
const path = process.env['MODEL_PATH']

describe('the package', () => {
  it('does in 2,000 random programs what the model does', { timeout: 300_000 }, async () => {
    expect(await findDifference({ programs: 2000, seed, path })).toBe(undefined)
  })
})

describe('the model finds', () => {
  it.each(wrongParts)('$name', { timeout: 60_000 }, async ({ replaced, shownBy }) => {
    const difference = await findDifference({ replaced, programs: 2000, seed: 1 })

    expect(difference).toMatch(/^1\. [^]*\nand now the two differ:\n[^]*\nrun again by: MODEL_SEED=1 MODEL_PATH=\d+ /)
    expect(difference).toMatch(shownBy)
  })
})
