import {
  current,
  gather,
  isolateGenerator,
  run,
  runInScope,
  shield,
  spawn,
  withTaskGroup,
  withTimeout,
} from 'logical-context'
import { inject } from 'logical-context/clients/inject'
import type { Propagator } from 'logical-context/propagators'
import { deadline } from 'logical-context/variables'
import { describe, expect, it, vi } from 'vitest'
import { asRequestUntil, user } from './caller.ts'

const now = Date.now()
const minute = 60_000
/** The deadline of the context that the last `inject` wrote. */
let written: number | undefined
const spy: Propagator = {
  fields: ['x-spy'],
  extract: (context) => context,
  inject: (context) => void (written = context.get(deadline)),
}
const injectSpied = inject.with({ propagators: [spy] })

function told(): number | undefined {
  injectSpied({})
  return written
}

const steps = isolateGenerator(function* () {
  yield told()
})

describe('the context that a call writes', () => {
  it('is the current context, with the deadline of the work that makes the call', () => {
    const headers: Record<string, string> = {}

    runInScope(
      () => {
        expect(told()).toBe(now + minute)
        inject.with({ values: ['shop.test'] })(headers, { to: 'http://shop.test/' })
      },
      { deadline: now + minute },
    )

    expect(headers['grpc-timeout']).toMatch(/^\d+m$/)
  })

  it('is the current one if nothing else has a deadline', () => {
    expect(told()).toBe(undefined)
    expect(deadline.run(5, told)).toBe(5)
    runInScope(() => {
      expect(told()).toBe(undefined)
      deadline.set(5)
      expect(told()).toBe(5)
      expect(run(current().with(deadline, 3), told)).toBe(3)
    })
  })

  it('has the earliest of the variable, the deadline of the unit and the limits around the call', async () => {
    vi.useFakeTimers({ now, toFake: ['Date', 'performance', 'setTimeout', 'clearTimeout'] })
    const seen = await asRequestUntil(now + 2 * minute, async () => [
      told(),
      await withTimeout(told, minute),
      await withTimeout(() => withTimeout(told, 2 * minute), minute),
      await withTimeout(() => user.run('bob', told), minute),
      await withTimeout(() => deadline.run(now + 5, told), minute),
      await withTimeout(() => steps().next().value, minute),
      await withTimeout(told, 3 * minute),
      await gather([told]),
      await withTaskGroup(told),
      told(),
    ])
    vi.useRealTimers()

    const [first, second] = [now + minute, now + 2 * minute]
    expect(seen).toEqual([second, first, first, first, now + 5, first, second, [second], second, second])
  })

  it('has the deadline of the request in a task that is cancelled with it, and none in other tasks', async () => {
    const tasks = asRequestUntil(now + minute, () => [
      spawn(told, { cancelWith: 'request' }).result(),
      spawn(told).result(),
      spawn(told, { policy: 'share' }).result(),
    ])

    expect(await Promise.all(tasks)).toEqual([now + minute, undefined, now + minute])
  })

  it('has the deadline that a task sets if nothing else limits the task', async () => {
    const ofTask = await withTaskGroup((group) => group.spawn(() => deadline.run(now + 5, told)).result())

    expect(ofTask).toBe(now + 5)
  })

  it('has in a shield, and in tasks spawned there, only the deadline of a withTimeout inside it', async () => {
    vi.useFakeTimers({ now, toFake: ['Date', 'performance', 'setTimeout', 'clearTimeout'] })
    const seen = await asRequestUntil(now + minute, async () => [
      ...(await shield(async () => [
        told(),
        await withTimeout(told, 2 * minute),
        await withTaskGroup((group) => group.spawn(() => deadline.run(5, told)).result()),
      ])),
      told(),
    ])
    vi.useRealTimers()

    expect(seen).toEqual([undefined, now + 2 * minute, undefined, now + minute])
  })
})
