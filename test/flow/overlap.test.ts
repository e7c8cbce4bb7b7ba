import { setImmediate } from 'node:timers/promises'
import { ContextVar, runInScope, spawn } from 'logical-context'
import { describe, expect, it } from 'vitest'

const user = new ContextVar<number>('user')
const counter = new ContextVar<number, number>('counter', { default: 0 })

describe('two units that overlap', () => {
  it('see their own values after each await', async () => {
    const turns = Array.from({ length: 6 }, () => Promise.withResolvers<void>())
    const work = (id: number, own: readonly number[]) =>
      runInScope(async () => {
        user.set(id)
        const seen: unknown[] = []
        for (const turn of own) {
          await turns[turn]?.promise
          seen.push(user.get())
          user.set(id)
        }
        return seen
      })

    const seen = Promise.all([work(1, [0, 2, 4]), work(2, [1, 3, 5])])
    for (const turn of turns) {
      turn.resolve()
      await setImmediate()
    }

    expect(await seen).toEqual([
      [1, 1, 1],
      [2, 2, 2],
    ])
  })
})

describe('a hundred tasks that set a variable ten times each', () => {
  it('see their own count only, and so does the spawner', async () => {
    const seen = await runInScope(async () => {
      counter.set(1000)
      const tasks = Array.from({ length: 100 }, (_, index) =>
        spawn(async () => {
          const counts = []
          for (let i = 1; i <= 10; i++) {
            counter.set(index * 100 + i)
            if (i % 3 === 0) await setImmediate()
            else await Promise.resolve()
            counts.push(counter.get())
          }
          return counts
        }),
      )
      const counts = await Promise.all(tasks.map((task) => task.result()))
      return { counts, spawner: counter.get() }
    })

    expect(seen.spawner).toBe(1000)
    expect(seen.counts).toEqual(
      Array.from({ length: 100 }, (_, index) => Array.from({ length: 10 }, (_, i) => index * 100 + i + 1)),
    )
  })
})
