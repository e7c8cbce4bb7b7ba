import { describe, expect, it } from 'vitest'
import { runScript } from './run-script.ts'

describe('a failing task', () => {
  it(
    'never ends the process, whatever it fails with, and whatever becomes of onError',
    { timeout: 30_000 },
    async () => {
      const { code, stdout } = await runScript(`
      import { setTimeout as sleep } from 'node:timers/promises'
      import { ContextVar, runInScope, spawn, TaskGroup } from 'logical-context'

      console.error = () => {}
      process.on('unhandledRejection', () => console.log('unhandled rejection'))
      const broken = new ContextVar('broken', { onSpawn: () => { throw new Error('derive') } })
      const failing = [
        () => { throw new Error('sync') },
        async () => { throw new Error('async') },
        () => Promise.reject(),
        () => new Promise((_, reject) => setTimeout(reject, 1, null)),
        () => ({ then: (_, reject) => reject(new Error('thenable')) }),
        () => ({ then() { throw new Error('then throws') } }),
        () => ({ get then() { throw new Error('no then') } }),
        () => Promise.reject({ get stack() { throw new Error('no stack') }, [Symbol.for('nodejs.util.inspect.custom')]() { throw new Error('no inspect') } }),
        () => spawn(() => Promise.reject(new Error('nested'))).result(),
      ]
      const handlers = [
        undefined,
        () => {},
        () => { throw new Error('onError throws') },
        () => Promise.reject(new Error('onError rejects')),
        () => ({ get then() { throw new Error('onError has no then') } }),
      ]
      const group = new TaskGroup()
      runInScope(() => {
        for (const policy of ['inherit', 'isolate', 'share', { only: [] }]) {
          for (const fn of failing) for (const onError of handlers) {
            const task = spawn(fn, { policy, onError })
            // Read, and not awaited.
            if (onError === undefined) task.result()
          }
        }
        broken.set('value')
        spawn(() => {})
      }, { group })
      const { unfinished } = await group.drain()
      await sleep(10)
      console.log(unfinished.length, 'left,', group.tasks.length, 'held')
    `)

      expect({ code, stdout }).toEqual({ code: 0, stdout: '0 left, 0 held\n' })
    },
  )

  it('is unlike a bare promise, which does end the process', async () => {
    const { code, stderr } = await runScript(`
      import { runInScope } from 'logical-context'
      runInScope(() => {
        Promise.reject(new Error('not handled'))
      })
    `)

    expect(code).toBe(1)
    expect(stderr).toContain('not handled')
  })

  it('does not affect a thousand others, nor the requests at the same time', { timeout: 30_000 }, async () => {
    const { code, stdout } = await runScript(`
      import { setImmediate as turn } from 'node:timers/promises'
      import { ContextVar, runInScope, spawn, TaskGroup } from 'logical-context'

      const user = new ContextVar('user')
      let told = 0
      let wrong = 0
      const group = new TaskGroup({
        onError: (error) => {
          told++
          if (error.message !== user.get()) wrong++
        },
      })
      const answers = Array.from({ length: 20 }, (_, index) =>
        runInScope(async () => {
          user.set('user ' + index)
          for (let i = 0; i < 50; i++) {
            spawn(async () => {
              await turn()
              throw new Error(user.get())
            })
          }
          for (let i = 0; i < 10; i++) await turn()
          return user.get()
        }, { group }),
      )
      console.log(new Set(await Promise.all(answers)).size, 'answers')
      await group.drain()
      console.log(told, 'told,', wrong, 'wrong')
    `)

    expect({ code, stdout }).toEqual({ code: 0, stdout: '20 answers\n1000 told, 0 wrong\n' })
  })
})
