import { current, type LogicalContextError, type RequestScope, runInScope, TaskGroup } from 'logical-context'
import { afterEach, describe, expect, it } from 'vitest'
import { leftovers, tidy, user } from './leftovers.ts'
import { heapInUse } from './memory.ts'

const limitBytes = 2_048

/** What else the process does goes into the measure. */
const measured = { timeout: 60_000, retry: 2 }

type Leave = (scope: RequestScope) => unknown

const outliving: unknown[] = []
afterEach(() => outliving.splice(0).forEach(tidy))

describe('after the end of a unit, at most 2 KB of it are held by', () => {
  it.each(leftovers)('%s', measured, async (_, leave) => {
    expect(await bytesHeld(leave)).toBeLessThanOrEqual(limitBytes)
  })
})

describe('after the end of a unit, more than 2 KB of it are held by', () => {
  // The control, which shows that the tests above can fail.
  it('a snapshot that is held', measured, async () => {
    expect(await bytesHeld(() => current())).toBeGreaterThan(limitBytes)
  })
})

/** What one leftover of a unit takes, or takes more than one that belongs to no unit. */
async function bytesHeld(leave: Leave): Promise<number> {
  const options = { group: new TaskGroup(), onLateUse: () => {} }
  const inUnit = (number: number) =>
    runInScope((scope) => {
      // 10 KB in the heap.
      user.set({ payload: Array.from({ length: 1_250 }, (_, index) => index * number + 0.5) })
      outliving.push(leave(scope))
    }, options)
  const outside = () => {
    try {
      outliving.push(leave(undefined as never))
    } catch (error) {
      // There are no tasks outside: all that one takes is the unit's.
      if ((error as LogicalContextError).code !== 'LCTX_OUTSIDE_UNIT') throw error
    }
  }
  const bytes = await bytesOfEach(inUnit)
  // Only a generator and a stream are so large themselves.
  return bytes <= limitBytes ? bytes : bytes - (await bytesOfEach(outside))
}

async function bytesOfEach(make: (number: number) => void): Promise<number> {
  const count = 600
  // What is made once for all.
  for (let number = 0; number < 10; number++) make(number)

  const before = await heapInUse()
  for (let number = 0; number < count; number++) make(number)
  return ((await heapInUse()) - before) / count
}
