import { setImmediate as nextTurn } from 'node:timers/promises'
import { bind, ContextVar, LogicalContext, outside, run, runInScope } from 'logical-context'
import { describe, expect, it, onTestFinished } from 'vitest'

const tenant = new ContextVar<string>('tenant')

/** Starts at `then`, as a query builder does, and once each time. */
class Query implements PromiseLike<string> {
  readonly starts: (string | undefined)[] = []
  readonly #outcome: () => string | Promise<string>

  constructor(outcome: () => string | Promise<string> = () => 'rows') {
    this.#outcome = outcome
  }

  then<A = string, B = never>(
    onFulfilled?: ((value: string) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.starts.push(tenant.get())
    return new Promise<string>((resolve) => resolve(this.#outcome())).then(onFulfilled, onRejected)
  }
}

/** A subclass of Promise that starts at `then`, like the queries of the package `postgres`. */
class LazyPromise extends Promise<string> {
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  readonly starts: (string | undefined)[] = []

  override then<A = string, B = never>(
    onFulfilled?: ((value: string) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.starts.push(tenant.get())
    return super.then(onFulfilled, onRejected)
  }
}

type Block = <R>(fn: () => R) => R

const blocks: [name: string, block: Block, seen: string | undefined][] = [
  ['variable.run', (fn) => tenant.run('acme', fn), 'acme'],
  ['run', (fn) => run(LogicalContext.empty.with(tenant, 'acme'), fn), 'acme'],
  ['bind', (fn) => tenant.run('acme', () => bind(fn))(), 'acme'],
  ['outside', (fn) => tenant.run('acme', () => outside(fn)), undefined],
]

describe.each(blocks)('a thenable that is returned from a block of %s', (_, block, seen) => {
  const elsewhere: Block = (fn) => runInScope(() => tenant.run('globex', fn))

  it('starts in the block, once, if the caller awaits it', async () => {
    const query = new Query()

    const rows = await elsewhere(async () => await block(() => query))

    expect([rows, query.starts]).toEqual(['rows', [seen]])
  })

  it('starts in the block, once, if no code awaits it', async () => {
    const query = new Query()

    void elsewhere(() => block(() => query))
    await nextTurn()

    expect(query.starts).toEqual([seen])
  })

  it('is replaced by a native promise', async () => {
    const result: unknown = elsewhere(() => block(() => new Query()))

    expect(Object.getPrototypeOf(result)).toBe(Promise.prototype)
    expect(await result).toBe('rows')
  })

  it('starts in the block if it is a function', async () => {
    const query = new Query()
    const callable = Object.assign(() => {}, {
      then: query.then.bind(query),
    })

    expect(await elsewhere(() => block(() => callable))).toBe('rows')
    expect(query.starts).toEqual([seen])
  })

  it('starts in the block if it is a promise with its own then', async () => {
    const query = new LazyPromise((resolve) => resolve('rows'))

    expect(await elsewhere(() => block(() => query))).toBe('rows')
    expect(query.starts).toEqual([seen])
  })

  it('rejects once, with its own error', async () => {
    const error = new Error('no such table')
    const rejections = collectUnhandled()

    const result = elsewhere(() => block(() => new Query(() => Promise.reject(error))))
    await expect(result).rejects.toBe(error)
    await nextTurn()

    expect(rejections).toEqual([])
  })

  it('is one unhandled rejection if no code handles it', async () => {
    const error = new Error('no such table')
    const rejections = collectUnhandled()

    void elsewhere(() => block(() => new Query(() => Promise.reject(error))))
    await nextTurn()
    await nextTurn()

    expect(rejections).toEqual([error])
  })

  it('rejects if its then throws', async () => {
    const error = new Error('not connected')
    const broken: PromiseLike<string> = {
      then() {
        throw error
      },
    }

    await expect(elsewhere(() => block(() => broken))).rejects.toBe(error)
  })

  it('has its then read once, and called once, with itself as the receiver', async () => {
    let reads = 0
    const receivers: unknown[] = []
    const counted = {
      get then() {
        reads++
        return function (this: unknown, resolve: (value: string) => void) {
          receivers.push(this)
          resolve('rows')
        }
      },
    }

    expect(await elsewhere(() => block(() => counted as unknown as PromiseLike<string>))).toBe('rows')
    expect([reads, receivers.length, receivers[0] === counted]).toEqual([1, 1, true])
  })
})

describe.each(blocks)('another result of a block of %s', (_, block) => {
  it('is returned unchanged if it is a native promise, also of a subclass', async () => {
    class Subclass extends Promise<void> {}
    const promises = [Promise.resolve(), Subclass.resolve(), Object.assign(Promise.resolve(), { cancel() {} })]

    const results = promises.map((promise) => block(() => promise))

    expect(results.map((result, index) => result === promises[index])).toEqual([true, true, true])
  })

  it('takes no further tick', async () => {
    const log: string[] = []

    const through = block(async () => {}).then(() => log.push('through the block'))
    const plain = (async () => {})().then(() => log.push('plain'))
    await Promise.all([through, plain])

    expect(log).toEqual(['through the block', 'plain'])
  })

  it.each<[name: string, value: unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['a number', 1],
    ['a string', 'then'],
    ['an object', {}],
    ['an array', []],
    ['a function', () => {}],
    ['an object whose then is not a function', new Map([['then', 1]])],
    [
      'an object whose then throws when it is read',
      Object.defineProperty({}, 'then', {
        get() {
          throw new Error('then')
        },
      }),
    ],
    ['a revoked proxy', revoked()],
  ])('is returned unchanged if it is %s', (_, value) => {
    expect(block(() => value) === value).toBe(true)
  })
})

describe('an async function of a block', () => {
  it('may return a lazy thenable too', async () => {
    const query = new Query()

    expect(await tenant.run('acme', async () => query)).toBe('rows')
    expect(query.starts).toEqual(['acme'])
  })
})

function collectUnhandled(): unknown[] {
  const errors: unknown[] = []
  const known = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', (error) => errors.push(error))
  onTestFinished(() => {
    process.removeAllListeners('unhandledRejection')
    for (const listener of known) process.on('unhandledRejection', listener)
  })
  return errors
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
