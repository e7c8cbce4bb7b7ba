import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter, on, once } from 'node:events'
import { readFile } from 'node:fs'
import { open, readFile as readFileAsync } from 'node:fs/promises'
import { PassThrough, Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { bind, ContextVar, runInScope, spawn } from 'logical-context'
import { describe, expect, it } from 'vitest'

const user = new ContextVar<string>('user')
const { filename } = import.meta

/** Runs `fn` in two units at the same time, each with a user of its own, and returns what they saw. */
function asTwoUsers<R>(fn: () => Promise<R>): Promise<R[]> {
  const as = (name: string) =>
    runInScope(async () => {
      user.set(name)
      return fn()
    })
  return Promise.all([as('ada'), as('grace')])
}

describe('the context goes on after', () => {
  it.each<[name: string, wait: () => unknown]>([
    ['a promise that is settled', () => Promise.resolve()],
    ['a promise of no unit', () => shared],
    ['a timer', () => sleep(1)],
    ['an immediate', () => immediate()],
    ['a read of a file', () => readFileAsync(filename)],
    ['a file handle', async () => (await open(filename)).close()],
    ['the thread pool', () => promisify(gzip)('text')],
    ['an event', waitForEvent],
    ['a stream that is read', () => Readable.from(['a', 'b']).toArray()],
    ['a pipeline', () => pipeline(Readable.from(['a', 'b']), new PassThrough(), (source) => source.toArray())],
    ['a foreign thenable', () => ({ then: (resolve: () => void) => setTimeout(resolve, 0) })],
    ['Promise.all', () => Promise.all([sleep(1), immediate()])],
    ['Promise.race', () => Promise.race([sleep(1), immediate()])],
    ['a rejection that is caught', () => Promise.reject(new Error('failed')).catch(() => {})],
    ['a task', () => spawn(() => sleep(1)).result()],
    ['a block', () => user.run('another user', () => sleep(1))],
  ])('%s', async (_, wait) => {
    const seen = await asTwoUsers(async () => {
      await wait()
      return user.get()
    })

    expect(seen).toEqual(['ada', 'grace'])
  })

  it('each step of an async iterator, in the body of the loop', async () => {
    const seen = await asTwoUsers(async () => {
      const names = []
      const lines = Readable.from([1, 2, 3])
      for await (const _ of lines) names.push(user.get())
      return names
    })

    expect(seen).toEqual([
      ['ada', 'ada', 'ada'],
      ['grace', 'grace', 'grace'],
    ])
  })

  it('each event of an iterator over events', async () => {
    const emitter = new EventEmitter()

    const seen = asTwoUsers(async () => {
      for await (const _ of on(emitter, 'event')) return user.get()
      return undefined
    })
    emitter.emit('event')

    expect(await seen).toEqual(['ada', 'grace'])
  })
})

describe('the context is there in', () => {
  it.each<[name: string, call: (callback: () => void) => void]>([
    ['setTimeout', (callback) => setTimeout(callback, 0)],
    ['setImmediate', (callback) => setImmediate(callback)],
    ['process.nextTick', (callback) => process.nextTick(callback)],
    ['queueMicrotask', (callback) => queueMicrotask(callback)],
    ['then', (callback) => void Promise.resolve().then(callback)],
    ['then of a promise of no unit', (callback) => void shared.then(callback)],
    ['finally', (callback) => void Promise.resolve().finally(callback)],
    ['fs.readFile', (callback) => readFile(filename, callback)],
    ['zlib.gzip', (callback) => gzip('text', callback)],
    ['the transform of a stream', transformOnce],
    ['a listener that its own unit calls', emitOnce],
    ['a message port', (callback) => postOnce(callback)],
  ])('a callback of %s', async (_, call) => {
    const seen = await asTwoUsers(
      () =>
        new Promise((resolve) => {
          call(() => resolve(user.get()))
        }),
    )

    expect(seen).toEqual(['ada', 'grace'])
  })

  it('each item of Array.fromAsync, as far as the platform keeps a context there', async () => {
    const platform = new AsyncLocalStorage<string>()
    // The configured version of the standard library does not have it.
    const fromAsync = Reflect.get(Array, 'fromAsync') as (items: unknown, read: () => unknown) => Promise<unknown[]>
    const collect = (read: () => unknown) =>
      fromAsync(
        (async function* () {
          for (const item of [1, 2, 3]) yield await immediate(item)
        })(),
        read,
      )
    const kept = await platform.run('kept', () => collect(() => platform.getStore()))

    const seen = await asTwoUsers(async () => [await collect(() => user.get()), user.get()])

    const expected = (name: string) => [kept.map((store) => (store === undefined ? undefined : name)), name]
    expect(seen).toEqual([expected('ada'), expected('grace')])
  })

  it('every call of an interval', async () => {
    const seen = await asTwoUsers(
      () =>
        new Promise((resolve) => {
          const names: unknown[] = []
          const interval = setInterval(() => {
            if (names.push(user.get()) < 3) return
            clearInterval(interval)
            resolve(names)
          }, 1)
        }),
    )

    expect(seen).toEqual([
      ['ada', 'ada', 'ada'],
      ['grace', 'grace', 'grace'],
    ])
  })
})

describe('a listener', () => {
  it('runs in the context of the code that emits; bind() changes that', () => {
    const emitter = new EventEmitter()
    const seen: unknown[] = []

    runInScope(() => {
      user.set('ada')
      emitter.on('event', () => seen.push(['plain', user.get()]))
      emitter.on(
        'event',
        bind(() => seen.push(['bound', user.get()])),
      )
      runInScope(() => {
        user.set('grace')
        emitter.emit('event')
      })
    })

    expect(seen).toEqual([
      ['plain', 'grace'],
      ['bound', 'ada'],
    ])
  })

  it('of an abort runs in the context of the code that aborts; bind() changes that', () => {
    const controller = new AbortController()
    const seen: unknown[] = []

    runInScope(() => {
      user.set('ada')
      controller.signal.addEventListener('abort', () => seen.push(['plain', user.get()]))
      controller.signal.addEventListener(
        'abort',
        bind(() => seen.push(['bound', user.get()])),
      )
      runInScope(() => {
        user.set('grace')
        controller.abort()
      })
    })

    expect(seen).toEqual([
      ['plain', 'grace'],
      ['bound', 'ada'],
    ])
  })

  it('of a pool runs in the context of the code that frees a place; bind() changes that', async () => {
    const queue: (() => void)[] = []
    const seen: unknown[] = []

    runInScope(
      () => {
        user.set('ada')
        queue.push(
          () => seen.push(['plain', user.get()]),
          bind(() => seen.push(['bound', user.get()])),
        )
      },
      { onLateUse: () => {} },
    )
    await runInScope(async () => {
      user.set('grace')
      await Promise.resolve()
      for (const job of queue) job()
    })

    // What was bound belongs to its unit, and that has ended.
    expect(seen).toEqual([
      ['plain', 'grace'],
      ['bound', undefined],
    ])
  })
})

const shared = Promise.resolve()

async function waitForEvent(): Promise<void> {
  const emitter = new EventEmitter()
  setImmediate(() => emitter.emit('event'))
  await once(emitter, 'event')
}

function transformOnce(callback: () => void): void {
  const transform = new Transform({
    transform(_chunk, _encoding, done) {
      callback()
      done()
    },
  })
  transform.end('text')
}

function emitOnce(callback: () => void): void {
  const emitter = new EventEmitter()
  emitter.on('event', callback)
  emitter.emit('event')
}

function postOnce(callback: () => void): void {
  const { port1, port2 } = new MessageChannel()
  const bound = bind(callback)
  port1.addEventListener('message', () => {
    port1.close()
    bound()
  })
  port1.start()
  port2.postMessage('text')
}
