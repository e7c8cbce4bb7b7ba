import { describe, expect, it } from 'vitest'
import { controls, soakLibrary } from '../../scripts/soak/soak.ts'

/** The short form of `npm run soak`. */
describe('cross-talk', () => {
  const options = { requests: 300, connections: 50 }

  it('is none: no request sees anything of another, in some 20,000 checks', { timeout: 60_000 }, async () => {
    const { samples, checks, tasks, ...counts } = await soakLibrary(options)

    expect(samples).toEqual([])
    expect(counts).toMatchObject({ crossed: 0, lost: 0, requests: 300, sockets: 50 })
    expect(tasks).toBeGreaterThan(300 * 16)
    expect(checks).toBeGreaterThan(20_000)
  })

  it.each(Object.entries(controls))('is found where there is some: %s', { timeout: 60_000 }, async (_, soakControl) => {
    const { foreign } = await soakControl(options)

    expect(foreign).toBeGreaterThan(0)
  })
})
