import { EventEmitter } from 'node:events'
import { priorityQueue as asyncPriorityQueue, queue as asyncQueue } from 'async'
import Bottleneck from 'bottleneck'
import DataLoader from 'dataloader'
import * as fastq from 'fastq'
import { createPool } from 'generic-pool'
import { bind, ContextVar, outside, runInScope } from 'logical-context'
import pLimit from 'p-limit'
import PQueue from 'p-queue'
import PQueue9 from 'p-queue9'
import { describe, expect, it } from 'vitest'

const user = new ContextVar<string>('user')
const tick = () => new Promise<void>((resolve) => setImmediate(resolve))

type Job = () => Promise<unknown>
type Submit = (job: Job) => unknown

/** Several users submit a job at the same time, each in a unit that stays open; what each job has seen. */
async function seenByJobs(submit: Submit): Promise<unknown[]> {
  const jobs = ['ada', 'bob', 'cleo'].map((name) =>
    runInScope(
      async () => {
        user.set(name)
        const seen = Promise.withResolvers<unknown>()
        const job = async () => {
          const before = user.get()
          await tick()
          seen.resolve([before, user.get()])
        }
        await Promise.all([submit(job), seen.promise])
        return seen.promise
      },
      // In the wrong context, a job may look at a unit that has ended.
      { onLateUse: () => {} },
    ),
  )
  return Promise.all(jobs)
}

const right = ['ada', 'bob', 'cleo'].map((name) => [name, name])

/** A pool of one connection, like that of many drivers: the release of the connection calls the next waiting function. */
class Pool extends EventEmitter {
  #busy = false
  readonly #waiting: (() => void)[] = []

  query(job: Job, done: () => void): void {
    const begin = () => {
      this.#busy = true
      void job().then(() => {
        this.#busy = false
        done()
        this.emit('release')
        this.#waiting.shift()?.()
      })
    }
    if (this.#busy) this.#waiting.push(begin)
    else begin()
  }
}

type Library = [name: string, make: () => Submit]

/** For each library its way to submit a job, one job at a time. */
const libraries: Library[] = [
  [
    'fastq',
    () => {
      const queue = fastq.promise((job: Job) => job(), 1)
      return (job) => queue.push(job)
    },
  ],
  [
    'async.queue',
    () => {
      const queue = asyncQueue((job: Job, done) => void job().then(() => done()), 1)
      return (job) => queue.push(job)
    },
  ],
  [
    'async.priorityQueue',
    () => {
      const queue = asyncPriorityQueue((job: Job, done) => void job().then(() => done()), 1)
      return (job) => queue.push(job, 1)
    },
  ],
  [
    'bottleneck',
    () => {
      const limiter = new Bottleneck({ maxConcurrent: 1 })
      return (job) => limiter.schedule(job)
    },
  ],
  [
    'p-queue before version 10',
    () => {
      const queue = new PQueue9({ concurrency: 1 })
      return (job) => queue.add(job)
    },
  ],
  [
    'a pool with callbacks',
    () => {
      const pool = new Pool()
      return (job) => new Promise<void>((resolve) => pool.query(job, resolve))
    },
  ],
]

describe.each(libraries)('%s', (_name, make) => {
  it('runs jobs in the context of others, without bind', async () => {
    expect(await seenByJobs(make())).not.toEqual(right)
  })

  it('runs each job in its own context, with bind', async () => {
    const submit = make()

    expect(await seenByJobs((job) => submit(bind(job)))).toEqual(right)
  })
})

/** Those that run each job in its own context by themselves. */
const rightLibraries: Library[] = [
  [
    'p-queue since version 10',
    () => {
      const queue = new PQueue({ concurrency: 1 })
      return (job) => queue.add(job)
    },
  ],
  [
    'p-limit',
    () => {
      const limit = pLimit(1)
      return (job) => limit(job)
    },
  ],
  [
    'generic-pool',
    () => {
      const pool = createPool({ create: async () => ({}), destroy: async () => {} }, { max: 1 })
      return (job) => pool.use(job)
    },
  ],
]

describe.each(rightLibraries)('%s', (_name, make) => {
  it('runs each job in its own context, without bind and with it', async () => {
    const submit = make()

    expect(await seenByJobs(submit)).toEqual(right)
    expect(await seenByJobs((job) => submit(bind(job)))).toEqual(right)
  })
})

describe('dataloader', () => {
  /** Two users load one key each, in one batch; what the batch has seen, and what each user sees afterwards. */
  const load = async (within: (batch: Job) => Promise<unknown>) => {
    const seen: unknown[] = []
    const loader = new DataLoader<string, string>(async (keys) => {
      await within(async () => {
        await tick()
        seen.push(user.get())
      })
      return [...keys]
    })
    const users = ['ada', 'bob'].map((name) =>
      runInScope(async () => {
        user.set(name)
        return [await loader.load(name), user.get()]
      }),
    )
    return [seen, ...(await Promise.all(users))]
  }

  it('runs the batch of all in the context of the first, without outside', async () => {
    expect(await load((batch) => batch())).toEqual([['ada'], ['ada', 'ada'], ['bob', 'bob']])
  })

  it('runs it outside any unit, with outside', async () => {
    expect(await load((batch) => outside(batch))).toEqual([[undefined], ['ada', 'ada'], ['bob', 'bob']])
  })
})

describe('an object that is shared', () => {
  /** Created by the first unit that needs it, with its own interval and one listener for all events. */
  const open = (seen: unknown[]) => {
    const client = new EventEmitter()
    client.on('message', () => seen.push(user.get()))
    const timer = setInterval(() => client.emit('message'), 1)
    return { client, close: () => clearInterval(timer) }
  }

  it.each<[string, (make: () => ReturnType<typeof open>) => ReturnType<typeof open>, unknown]>([
    ['lives in the context of the first user', (make) => make(), 'ada'],
    ['lives in no context, made outside', (make) => outside(make), undefined],
  ])('%s', async (_name, within, expected) => {
    const seen: unknown[] = []
    const done = Promise.withResolvers<void>()
    const ended = runInScope(async () => {
      user.set('ada')
      const shared = within(() => open(seen))
      shared.client.once('message', bind(done.resolve))
      await done.promise
      shared.close()
    })
    await ended

    expect(seen[0]).toBe(expected)
  })
})
