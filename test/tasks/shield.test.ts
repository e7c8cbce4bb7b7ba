import { currentDeadline, currentSignal, runInScope, shield, TaskGroup, withTimeout } from 'logical-context'
import { describe, expect, it } from 'vitest'

const tick = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('shield', () => {
  it('keeps the caller’s deadline away too', async () => {
    const seen = await runInScope(() => shield(({ deadline }) => [deadline, currentDeadline()]), {
      deadline: Date.now() + 10_000,
    })

    expect(seen).toEqual([undefined, undefined])
  })

  it('protects what is called in it, and only that', async () => {
    const seen = await runInScope(async (scope) => {
      const inside = shield(() =>
        withTimeout(async () => {
          await tick()
          return currentSignal()?.aborted
        }, 10_000),
      )
      scope.abort(new Error('gone'))
      return [await inside, currentSignal()?.aborted]
    })

    expect(seen).toEqual([false, true])
  })

  it('protects a task from its group’s abort', async () => {
    const group = new TaskGroup()
    const task = group.spawn(({ signal }) =>
      shield(async () => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        return [signal.aborted, currentSignal()?.aborted]
      }),
    )

    await group.drain({ timeoutMs: 0 })

    expect(await task.result()).toEqual([true, false])
  })

  it('rejects with a TypeError for no function', async () => {
    const call = shield(Promise.resolve() as never)

    await expect(call).rejects.toThrow(TypeError)
    await expect(call).rejects.toThrow('shield: expected a function, got Promise')
  })
})
