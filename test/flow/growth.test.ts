import { ContextVar, current, isolateGenerator, LogicalContext, runInScope, spawn, TaskGroup } from 'logical-context'
import { requestId, traceContext, TraceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import { heapInUse } from './memory.ts'

const user = new ContextVar<string>('user')
const derived = new ContextVar<number>('derived', { onSpawn: (value) => value + 1 })

const megabyte = 2 ** 20

describe('a chain of 20,000 tasks that spawn their successor', () => {
  it.each(['inherit', 'isolate', 'share'] as const)('does not grow under %s', { timeout: 60_000 }, async (policy) => {
    const heaps: number[] = []

    await runInScope(async () => {
      setAll()
      await chain(policy, 20_000, async (left) => {
        if (left % 5_000 === 0) heaps.push(await heapInUse())
      })
    })

    const [first = 0] = heaps
    expect(heaps).toHaveLength(5)
    expect(Math.max(...heaps) - first).toBeLessThan(2 * megabyte)
  })

  it('ends with the values it began with, in a context of the same size', async () => {
    const contexts: LogicalContext[] = []

    await runInScope(async () => {
      setAll()
      await chain('inherit', 1_000, () => void contexts.push(current()))
    })

    const [first, last] = [contexts[0], contexts.at(-1)]
    expect(last?.get(user)).toBe('ada')
    expect(last?.get(derived)).toBe(1_001)
    expect(sizeOf(last)).toBe(sizeOf(first))
  })

  function setAll(): void {
    user.set('ada')
    derived.set(0)
    requestId.set('request-1')
    traceContext.set(new TraceContext())
  }

  /** Runs `length` tasks, each spawned by the one before when that is about to end. */
  async function chain(
    policy: 'inherit' | 'isolate' | 'share',
    length: number,
    visit: (left: number) => void | Promise<void>,
  ): Promise<void> {
    const end = Promise.withResolvers<void>()
    const step = async (left: number): Promise<void> => {
      await visit(left)
      await Promise.resolve()
      if (left === 0) end.resolve()
      else spawn(() => step(left - 1), { policy })
    }
    spawn(() => step(length), { policy })
    await end.promise
  }
})

describe('a unit that lives long', () => {
  it.each<[name: string, work: () => unknown]>([
    ['blocks', () => user.run('x'.repeat(10), () => user.get())],
    ['overrides', () => user.override('x')[Symbol.dispose]()],
    ['snapshots and writes after them', () => [current(), user.set('x')]],
    ['tasks', () => spawn(() => user.get())],
    ['isolated tasks', () => spawn(() => user.get(), { policy: 'isolate' })],
    ['tasks cancelled with the request', () => spawn(() => user.get(), { cancelWith: 'request' })],
    ['units', () => runInScope(() => user.set('x'))],
    ['generators', () => counter().next()],
    ['deletions of a variable with a rule', () => [derived.set(1), derived.delete()]],
  ])('does not grow with the %s it makes', { timeout: 60_000 }, async (_, work) => {
    const growth = await runInScope(
      async () => {
        await repeat(5_000, work)
        const before = await heapInUse()
        await repeat(20_000, work)
        return (await heapInUse()) - before
      },
      { group: new TaskGroup() },
    )

    expect(growth).toBeLessThan(1.5 * megabyte)
  })

  it('keeps none of a million blocks', { timeout: 60_000 }, async () => {
    const growth = await runInScope(async () => {
      await runBlocks(10)
      const before = await heapInUse()
      await runBlocks(1_000)
      return (await heapInUse()) - before
    })

    // One WeakRef for each list of blocks would be 1.4 MB.
    expect(growth).toBeLessThan(0.7 * megabyte)
  })

  it('does not grow with the changes of a generator’s driver', { timeout: 60_000 }, async () => {
    const generator = counter()
    const drive = (times: number) =>
      Promise.all([repeat(times, () => generator.next()), runInScope(() => repeat(times, () => generator.next()))])

    const growth = await runInScope(async () => {
      await drive(5_000)
      const before = await heapInUse()
      await drive(20_000)
      return (await heapInUse()) - before
    })

    expect(growth).toBeLessThan(1.5 * megabyte)
  })

  const counter = isolateGenerator(function* () {
    for (let count = 0; ; count++) {
      user.set(`count ${count}`)
      yield count
    }
  })

  async function runBlocks(thousands: number): Promise<void> {
    for (let i = 0; i < thousands; i++) {
      for (let block = 0; block < 1_000; block++) user.run('x', () => {})
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async function repeat(times: number, work: () => unknown): Promise<void> {
    for (let i = 0; i < times; i++) {
      work()
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
      else await Promise.resolve()
    }
  }
})

describe('a group', () => {
  it('holds nothing of 20,000 tasks that have failed', { timeout: 60_000 }, async () => {
    const group = new TaskGroup({ onError: () => {} })
    const fail = async () => {
      for (let i = 0; i < 20_000; i++) group.spawn(() => Promise.reject(new Error('failed')))
      await group.drain()
    }

    await fail()
    const before = await heapInUse()
    await fail()

    expect((await heapInUse()) - before).toBeLessThan(1.5 * megabyte)
    expect(group.tasks.length).toBe(0)
  })
})

/** How many array places and list links a context is made of. */
function sizeOf(context: LogicalContext | undefined): number {
  let size = 0
  for (
    let link = context?.toValues()[1] as { rest: unknown } | undefined;
    link !== undefined;
    link = link.rest as never
  ) {
    size++
  }
  return size + (context?.toValues().length ?? 0)
}
