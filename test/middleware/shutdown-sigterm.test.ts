import { describe, expect, it } from 'vitest'
import { runRound } from '../../scripts/shutdown-round.ts'

describe('a server under load that receives SIGTERM', () => {
  it('finishes all orders that it acknowledged', { timeout: 30_000 }, async () => {
    const termAfter = 150

    const round = await runRound({ drainTimeoutMs: 20_000, taskMs: 100, termAfter })

    expect(round).toMatchObject({ finished: round.acknowledged, reported: 0, lost: 0, exitCode: 0 })
    expect(round.acknowledged).toBeGreaterThanOrEqual(termAfter)
  })

  it('reports what its limit was too small for, and exits with a failure', { timeout: 30_000 }, async () => {
    const round = await runRound({ drainTimeoutMs: 50, taskMs: 1000, termAfter: 20 })

    expect(round).toMatchObject({ lost: 0, exitCode: 1 })
    expect(round.reported).toBeGreaterThan(0)
    expect(round.finished).toBeLessThan(round.acknowledged)
  })

  it('loses orders if no group owns their tasks: the round notices', { timeout: 30_000 }, async () => {
    const { lost } = await runRound({ drainTimeoutMs: 20_000, taskMs: 100, termAfter: 50, unowned: true })

    expect(lost).toBeGreaterThan(0)
  })
})
