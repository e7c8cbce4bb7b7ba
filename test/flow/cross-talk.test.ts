import { AsyncLocalStorage } from 'node:async_hooks'
import { readFile } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { ContextVar, isolateGenerator, runInScope, spawn } from 'logical-context'
import { describe, expect, it } from 'vitest'

/** A way to carry the user of a unit of work. */
interface Carrier {
  /** Does the work of one request; some have no user. */
  open(user: number | undefined, work: () => Promise<void>): Promise<void>
  fork(work: () => Promise<void>): Promise<void>
  user(): number | undefined
}

describe('cross-talk', () => {
  it('is none: no unit sees the user of another, in 37,000 checks', async () => {
    const variable = new ContextVar<number>('user')
    const steps = isolateGenerator(async function* () {
      for (;;) yield variable.get()
    })()
    const policies = ['inherit', 'share', { only: [variable] }] as const
    let forks = 0

    const counted = await countCrossings({
      open: (user, work) =>
        runInScope(() => {
          if (user !== undefined) variable.set(user)
          return work()
        }),
      fork: (work) => spawn(work, { policy: policies[forks++ % policies.length] }).result(),
      user: () => variable.get(),
    })
    const stepped = await Promise.all(
      Array.from({ length: 100 }, (_, user) => variable.run(user, async () => (await steps.next()).value === user)),
    )

    expect(counted).toEqual({ checks: 37_000, crossed: 0 })
    expect(stepped).not.toContain(false)
  })

  it.each<[name: string, makeCarrier: () => Carrier]>([
    ['a global variable', globalVariable],
    ['enterWith()', enterWith],
  ])('is found where there is some: %s', async (_, makeCarrier) => {
    const { crossed } = await countCrossings(makeCarrier())

    expect(crossed).toBeGreaterThan(1000)
  })
})

/** Twenty connections that stay open, each with fifty requests one after another; every second one is nobody's. */
async function countCrossings(carrier: Carrier): Promise<{ checks: number; crossed: number }> {
  let checks = 0
  let crossed = 0
  const check = (user: number | undefined) => {
    checks++
    if (carrier.user() !== user) crossed++
  }
  const work = async (user: number | undefined, depth: number): Promise<void> => {
    check(user)
    await waits[(user ?? 0) % waits.length]?.()
    check(user)
    if (depth === 0) return
    await Promise.all([0, 1].map(() => carrier.fork(() => work(user, depth - 1))))
    check(user)
  }
  const connections = Array.from({ length: 20 }, async (_, connection) => {
    for (let request = 0; request < 50; request++) {
      const user = request % 2 === 0 ? connection * 50 + request : undefined
      await carrier.open(user, () => work(user, 3))
    }
  })
  await Promise.all(connections)
  return { checks, crossed }
}

const waits = [
  () => Promise.resolve(),
  () => setImmediate(),
  () => new Promise<void>((resolve) => process.nextTick(resolve)),
  () => new Promise<void>((resolve) => queueMicrotask(resolve)),
  () => new Promise<void>((resolve) => setTimeout(resolve, 0)),
  () => new Promise<void>((resolve) => readFile(import.meta.filename, () => resolve())),
]

function globalVariable(): Carrier {
  let current: number | undefined
  return {
    open: (user, work) => {
      current = user
      return work()
    },
    fork: (work) => work(),
    user: () => current,
  }
}

function enterWith(): Carrier {
  const storage = new AsyncLocalStorage<number>()
  return {
    open: (user, work) => {
      if (user !== undefined) storage.enterWith(user)
      return work()
    },
    fork: (work) => work(),
    user: () => storage.getStore(),
  }
}
