import { current, runInScope, spawn } from 'logical-context'
import { newIdentity, requestId, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'

describe('newIdentity', () => {
  it('gives a unit an id and a trace that its tasks share, and another unit others', async () => {
    const ids = () => [requestId.get(), traceContext.get()?.traceId]
    const job = () =>
      runInScope(async () => [ids(), await spawn(ids, { policy: 'inherit' }).result()], { context: newIdentity() })

    const [first, second] = await Promise.all([job(), job()])

    expect(first[0]).toEqual(first[1])
    expect(first[0]).toEqual([expect.stringMatching(/^[\da-f-]{36}$/), expect.stringMatching(/^[\da-f]{32}$/)])
    expect(second[0]).not.toEqual(first[0])
    expect(current().has(requestId)).toBe(false)
  })
})
