import { inspect } from 'node:util'
import { bind, ContextVar, isolateGenerator, runInScope, spawn, TaskGroup } from 'logical-context'
import { describe, expect, it } from 'vitest'
import { isCollected } from '../flow/memory.ts'

const user = new ContextVar<object>('user')
const requestName = new ContextVar<string>('requestName', { onSpawn: 'keep' })
const quiet = { lateWrites: 'report', onLateUse: () => {} } as const

describe('a unit', () => {
  it('drops the values of its blocks with its own, of more blocks than it holds in one list too', () => {
    const reads = runInScope(() => {
      requestName.set('import')
      return Array.from({ length: 5000 }, () => user.run({}, () => bind(() => [user.has(), requestName.get()])))
    }, quiet)

    expect(reads.map((read) => read())).toEqual(reads.map(() => [false, 'import']))
  })

  it('keeps the values of its blocks until then', async () => {
    const reads = await runInScope(async () => {
      const blocks = Array.from({ length: 300 }, (_, index) => user.run({ index }, () => bind(() => user.get())))
      await Promise.resolve()
      return blocks.map((read) => read())
    })

    expect(reads).toEqual(Array.from({ length: 300 }, (_, index) => ({ index })))
  })

  it('drops the values of nested blocks, of runs and of generators', () => {
    const reads = runInScope(() => {
      const found = user.run({}, () => [user.run({}, () => bind(() => user.get()))])
      const generator = isolateGenerator(function* () {
        user.set({})
        yield bind(() => user.get())
      })()
      return [...found, generator.next().value as () => unknown]
    }, quiet)

    expect(reads.map((read) => read())).toEqual([undefined, undefined])
  })

  it('does not touch what belongs to a unit opened in it', async () => {
    const gate = Promise.withResolvers<void>()
    const inner: Promise<unknown>[] = []

    runInScope(() => {
      user.set({ name: 'outer' })
      inner.push(
        runInScope(async () => {
          user.set({ name: 'inner' })
          await gate.promise
          return user.get()
        }),
        spawn(async () => {
          await gate.promise
          return user.get()
        }).result(),
      )
    })
    gate.resolve()

    expect(await Promise.all(inner)).toEqual([{ name: 'inner' }, { name: 'outer' }])
  })

  it('keeps no block without other references while it runs on', async () => {
    const group = new TaskGroup()
    const values: WeakRef<object>[] = []

    await runInScope(
      async () => {
        for (let i = 0; i < 200; i++) user.run(remember(values), () => {})
        const [first] = values
        if (first === undefined) throw new Error('No block has run.')

        expect(await isCollected(first)).toBe(true)
      },
      { group },
    )
  })

  it('shows its name, and none of its values', () => {
    const secret = new ContextVar<string>('secret', { sensitive: true })

    runInScope(
      function checkOut(scope) {
        secret.set('hunter2')
        const task = spawn(() => new Promise(() => {}), { name: 'send-receipt' })

        expect([String(scope), inspect(scope), JSON.stringify({ scope })]).toEqual([
          'RequestScope(checkOut)',
          'RequestScope(checkOut)',
          '{"scope":"RequestScope(checkOut)"}',
        ])
        expect([String(task), inspect({ task }, { depth: 10 }), JSON.stringify([task])]).toEqual([
          'Task(send-receipt)',
          '{ task: Task(send-receipt) }',
          '["Task(send-receipt)"]',
        ])
        expect(inspect(scope.cell, { depth: 10, showHidden: true })).toBe('Cell')
      },
      { group: new TaskGroup() },
    )
  })
})

function remember(values: WeakRef<object>[]): object {
  const value = { payload: 'x'.repeat(100) }
  values.push(new WeakRef(value))
  return value
}
