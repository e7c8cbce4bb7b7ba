import { describe, expect, it } from 'vitest'
import { controls, soakLibrary } from '../../scripts/soak/soak.ts'

/** The short form of `npm run soak`. */
describe('cross-talk', () => {
  const options = { requests: 300, connections: 50 }

  it('does not occur: no request sees a value of another one, in 20,000 checks', { timeout: 60_000 }, async () => {
    const { samples, checks, tasks, ...counts } = await soakLibrary(options)

    expect(samples).toEqual([])
    expect(counts).toMatchObject({ crossed: 0, lost: 0, requests: 300, sockets: 50 })
    expect(tasks).toBeGreaterThan(300 * 16)
    expect(checks).toBeGreaterThan(20_000)
  })

  it.each(Object.entries(controls))('is found in a wrong carrier: %s', { timeout: 60_000 }, async (_, soakControl) => {
    const { crossed } = await soakControl(options)

    expect(crossed).toBeGreaterThan(0)
  })
})
