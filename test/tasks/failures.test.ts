import { setImmediate as tick } from 'node:timers/promises'
import { ContextVar, runInScope, spawn, TaskGroup } from 'logical-context'
import { expect, it } from 'vitest'

const request = new ContextVar<number>('request')

it('a thousand tasks that fail during twenty slow requests: each failure is reported once, in its own context', async () => {
  const unhandled: unknown[] = []
  const onUnhandled = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', onUnhandled)
  const told: [error: string, task: string, request: number | undefined][] = []
  const group = new TaskGroup({
    onError: (error, task) => told.push([(error as Error).message, task.name, request.get()]),
  })
  const fail = (number: number) => [
    () => {
      throw new Error(`${number}`)
    },
    async () => {
      await tick()
      throw new Error(`${number}`)
    },
    () => Promise.reject(new Error(`${number}`)),
    async () => {
      await spawn(() => tick()).result()
      throw new Error(`${number}`)
    },
  ]

  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, number) =>
      runInScope(
        async () => {
          request.set(number)
          for (let i = 0; i < 50; i++) {
            const [body] = fail(number).slice(i % 4)
            spawn(body ?? tick, { name: `${number}` })
            if (i % 10 === 0) await tick()
          }
          for (let i = 0; i < 10; i++) await tick()
          return request.get()
        },
        { group },
      ),
    ),
  )
  await group.drain()
  await tick()
  process.off('unhandledRejection', onUnhandled)

  expect(answers).toEqual(Array.from({ length: 20 }, (_, number) => number))
  expect(told).toHaveLength(1000)
  expect(told.filter(([error, task, seen]) => error !== task || Number(error) !== seen)).toEqual([])
  expect(group.counters).toMatchObject({ running: 0, failed: 1000 })
  expect(unhandled).toEqual([])
})
