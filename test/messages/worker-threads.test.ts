import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { BroadcastChannel, MessageChannel, Worker } from 'node:worker_threads'
import { runInScope } from 'logical-context'
import { threadContext } from 'logical-context/messages/worker-threads'
import { describeMessages } from 'logical-context/testing'
import { requestId, TraceContext, traceContext } from 'logical-context/variables'
import { Piscina } from 'piscina'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { type Seen, tenant, threads, user } from './threads/context.ts'

const file = (name: string) => new URL(`threads/${name}.ts`, import.meta.url)
const execArgv = ['--conditions=logical-context-source']

/** Runs `fn` as a request of a user at acme. */
function asRequest<R>(name: string, fn: () => Promise<R>): Promise<R> {
  return runInScope(async () => {
    tenant.set('acme')
    user.set(name)
    requestId.set(`r-${name}`)
    traceContext.set(new TraceContext({ traceId: '0af7651916cd43dd8448eb211c80319c' }))
    return fn()
  })
}

function openWorker(): Worker {
  const worker = new Worker(file('worker'), { execArgv })
  onTestFinished(() => void worker.terminate())
  return worker
}

describeMessages({ describe, it, expect }, 'a channel of node:worker_threads', {
  retries: 'none',
  async open(options) {
    const context = threadContext({ onFailure() {}, ...options })
    const { port1, port2 } = new MessageChannel()
    return {
      enqueue: async (data, policy) => port1.postMessage(context.enclose(data, policy)),
      enqueueRaw: async (data, fields) => port1.postMessage({ data, logicalContext: fields }),
      work: async (handler) => port2.on('message', context.onMessage(handler)),
      closeWorkers: (closeOptions) => context.close(closeOptions),
      close: async () => port1.close(),
    }
  },
})

describe('threadContext, in a worker thread', () => {
  it("opens each message in a unit with the sender's values, and its answer in one with the worker's", async () => {
    const worker = openWorker()
    const answers: [Seen, string | undefined][] = []
    const both = Promise.withResolvers<void>()
    worker.on(
      'message',
      threads.onMessage((answer: Seen) => {
        answers.push([answer, user.get()])
        if (answers.length === 2) both.resolve()
      }),
    )

    await asRequest('ann', async () => worker.postMessage(threads.enclose({ n: 1 })))
    await asRequest('bob', async () => worker.postMessage(threads.enclose('a text', 'isolate')))
    await both.promise

    expect(answers).toMatchObject([
      [{ data: { n: 1 }, tenant: 'acme', user: 'ann', requestId: 'r-ann' }, 'set by the worker'],
      [{ data: 'a text', tenant: 'acme', user: undefined, requestId: 'r-bob' }, 'set by the worker'],
    ])
    expect(answers[0]?.[0].traceId).toBe('0af7651916cd43dd8448eb211c80319c')
    expect(answers[1]?.[0].traceId).not.toBe('0af7651916cd43dd8448eb211c80319c')
  })

  it('goes on after a handler that fails, and after a message that was not enclosed', async () => {
    const worker = openWorker()
    const answer = once(worker, 'message')

    worker.postMessage(threads.enclose('fail'))
    worker.postMessage(['not enclosed'])
    const [message] = (await answer) as [{ data: Seen }]

    expect(message.data).toMatchObject({ data: ['not enclosed'], tenant: undefined })
  })
})

describe('threadContext, on a BroadcastChannel', () => {
  it("opens each event in a unit with the sender's values", async () => {
    const [sender, receiver] = [new BroadcastChannel('jobs'), new BroadcastChannel('jobs')]
    onTestFinished(() => [sender, receiver].forEach((channel) => channel.close()))
    const seen = Promise.withResolvers<unknown>()
    receiver.addEventListener(
      'message',
      threads.onMessage((data) => seen.resolve([data, user.get()])),
    )

    await asRequest('ann', async () => sender.postMessage(threads.enclose({ n: 1 })))

    expect(await seen.promise).toEqual([{ n: 1 }, 'ann'])
  })
})

describe('threadContext, in a child process', () => {
  it("opens each message in a unit with the sender's values", async () => {
    const child = fork(fileURLToPath(file('child')), { execArgv })
    onTestFinished(() => void child.kill())
    const answer = once(child, 'message')

    await asRequest('ann', async () => child.send(threads.enclose({ n: 1 }, { only: [user] })))
    const [seen] = (await answer) as [Seen]

    expect(seen).toMatchObject({ data: { n: 1 }, tenant: 'acme', user: 'ann', requestId: 'r-ann' })
  })
})

describe('threadContext, in a pool of piscina', () => {
  const openPool = (atomics: 'async' | 'sync', more?: ConstructorParameters<typeof Piscina>[0]) => {
    const pool = new Piscina({ filename: file('piscina-task').href, execArgv, maxThreads: 1, atomics, ...more })
    onTestFinished(() => pool.destroy())
    return pool
  }

  it("a task has its caller's values, and the caller has its own after the await", async () => {
    const pool = openPool('async')

    const found = await asRequest('ann', async () => {
      const seen = (await threads.run(pool, { n: 1 })) as Seen
      return { seen, after: user.get() }
    })

    expect(found).toMatchObject({ seen: { data: { n: 1 }, user: 'ann', requestId: 'r-ann' }, after: 'ann' })
  })

  it('moves what Piscina.move() marks', async () => {
    const { buffer } = Uint8Array.of(1, 2, 3)

    const { data } = (await threads.run(openPool('async'), Piscina.move(buffer))) as Seen

    expect([data, buffer.detached]).toEqual([Uint8Array.of(1, 2, 3).buffer, true])
  })

  it("rejects with the task's failure", async () => {
    await expect(threads.run(openPool('async'), 'fail')).rejects.toThrow('the task fails')
  })

  it('passes the options of a task to the queue of its pool, such as a priority', async () => {
    const waiting: { [Piscina.queueOptionsSymbol]: unknown }[] = []
    const options: unknown[] = []
    const taskQueue = {
      get size() {
        return waiting.length
      },
      shift: () => waiting.shift() ?? null,
      remove: () => {},
      push(task: (typeof waiting)[number]) {
        options.push(task[Piscina.queueOptionsSymbol])
        waiting.push(task)
      },
    }
    const pool = openPool('async', { taskQueue: taskQueue as never })

    const urgent = { n: 1, [Piscina.queueOptionsSymbol]: { priority: 9 } }
    const seen = await Promise.all([threads.run(pool, { n: 0 }), threads.run(pool, urgent)])

    expect(options).toContainEqual({ priority: 9 })
    expect(seen).toMatchObject([{ data: { n: 0 } }, { data: { n: 1 } }])
  })

  it("warns once of a pool whose atomics are 'sync'", async () => {
    const error = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => error.mockRestore())
    const pool = openPool('sync')

    await threads.run(pool, 1)
    await threads.run(pool, 2)

    expect(error.mock.calls).toEqual([[expect.stringContaining("piscina's option 'atomics' is 'sync'")]])
  })

  it('warns of a pool like that of tinypool by the name of its option, and only if its workers block', async () => {
    const error = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => error.mockRestore())

    for (const useAtomics of [false, true]) {
      await threads.run({ options: { useAtomics }, run: async () => {} }, 1)
    }

    expect(error.mock.calls).toEqual([[expect.stringContaining("option 'useAtomics' is true")]])
  })
})

describe('threadContext', () => {
  it.each([
    ['share', () => threads.enclose(1, 'share' as never), /other than 'share'/],
    ['a listener that is not a function', () => threads.onMessage('x' as never), /onMessage: expected a function/],
    ['a task that is not a function', () => threads.task('x' as never), /task: expected a function/],
  ])('refuses %s', (_, call, message) => {
    expect(call).toThrow(message)
  })
})
