import { AsyncLocalStorage } from 'node:async_hooks'
import { bind, ContextVar, LogicalContext, type RequestScope, runInScope, TaskGroup } from 'logical-context'
import { describe, expect, it } from 'vitest'
import { LateUseWatch } from '../../src/tasks/late-use.ts'
import { RequestScope as Scope } from '../../src/tasks/request-scope.ts'

const user = new ContextVar<string>('user')
const kept = new ContextVar<string>('kept', { onSpawn: 'keep' })
const reason = new Error('the client is gone')

describe('RequestScope', () => {
  it('starts with its context, and is entered many times: what is set is seen by later runs', () => {
    const scope = open(LogicalContext.empty.with(user, 'ada'))

    const first = scope.run((suffix: string) => {
      const before = user.get()
      user.set(`${before}${suffix}`)
      return before
    }, ' lovelace')

    expect([first, scope.run(() => user.get()), scope.context.get(user), user.get()]).toEqual([
      'ada',
      'ada lovelace',
      'ada lovelace',
      undefined,
    ])
  })

  it('leaves the context it was opened with as it is', () => {
    const context = LogicalContext.empty.with(user, 'ada')

    open(context).run(() => user.set('grace'))

    expect(context.get(user)).toBe('ada')
  })

  it('keeps two overlapping scopes apart', async () => {
    const [first, second] = [open(), open()]
    const turns = Array.from({ length: 4 }, () => Promise.withResolvers<void>())
    const work = async (name: string, own: number[]) => {
      user.set(name)
      const seen = []
      for (const turn of own) {
        await turns[turn]?.promise
        seen.push(user.get())
      }
      return seen
    }

    const seen = Promise.all([first.run(work, 'ada', [0, 2]), second.run(work, 'grace', [1, 3])])
    for (const turn of turns) turn.resolve()

    expect(await seen).toEqual([
      ['ada', 'ada'],
      ['grace', 'grace'],
    ])
  })

  it('drops its values at the close, all but the survivors', () => {
    const scope = open()
    const lateRead = scope.run(() => {
      user.set('ada')
      kept.set('kept')
      return bind(() => [user.get(), kept.get()])
    })

    scope.close()

    expect(scope.sealed).toBe(true)
    expect(lateRead()).toEqual([undefined, 'kept'])
    expect(String(scope.context)).toBe('LogicalContext(kept)')
  })

  it('waits at the close for the promises of its runs', async () => {
    const scope = open()
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const seen = Promise.all(
      gates.map(({ promise }, index) =>
        scope.run(async () => {
          user.set('ada')
          await promise
          return [index, user.get(), scope.sealed]
        }),
      ),
    )

    scope.close()
    const whilePending = scope.sealed
    for (const gate of gates) gate.resolve()

    expect(await seen).toEqual([
      [0, 'ada', false],
      [1, 'ada', false],
    ])
    expect([whilePending, scope.sealed]).toEqual([false, true])
  })

  it('has sealed when its last caller goes on', async () => {
    const scope = open()
    const result = scope.run(() => Promise.resolve())
    scope.close()

    await result

    expect(scope.sealed).toBe(true)
  })

  it('seals after a rejection and after a throw, too', async () => {
    const [rejecting, throwing] = [open(), open()]
    const result = rejecting.run(() => Promise.reject(reason))
    rejecting.close()

    await expect(result).rejects.toBe(reason)
    expect(() =>
      throwing.run(() => {
        throw reason
      }),
    ).toThrow(reason)
    throwing.close()

    expect([rejecting.sealed, throwing.sealed]).toEqual([true, true])
  })

  it('may be entered while it waits, but not when it has sealed', async () => {
    const scope = open()
    const gate = Promise.withResolvers<void>()
    const result = scope.run(() => gate.promise)
    scope.close()

    const whileWaiting = scope.run(() => 'still here')
    gate.resolve()
    await result

    expect(whileWaiting).toBe('still here')
    expect(() => scope.run(() => 'too late')).toThrow(
      expect.objectContaining({ code: 'LCTX_SCOPE_CLOSED', message: expect.stringContaining("'GET /orders'") }),
    )
  })

  it('closes once', () => {
    const scope = open(LogicalContext.empty.with(kept, 'kept'))

    scope.close()
    scope.close()

    expect(scope.context.get(kept)).toBe('kept')
  })

  it('calls `then` of a foreign thenable once, and waits for it in its own context', async () => {
    const scope = open()
    const asked: unknown[] = []
    const query = {
      then(resolve: (rows: string[]) => void) {
        asked.push(user.get())
        setImmediate(() => resolve(['row']))
      },
    } as PromiseLike<string[]>

    const result = scope.run(() => {
      user.set('ada')
      return query
    })
    scope.close()
    const whilePending = scope.sealed
    const rows = await result

    expect({ rows, asked, whilePending, sealed: scope.sealed }).toEqual({
      rows: ['row'],
      asked: ['ada'],
      whilePending: false,
      sealed: true,
    })
  })

  it('re-enters with other libraries’ contexts as its anchor has found them', () => {
    const other = new AsyncLocalStorage<string>()
    const scope = open(LogicalContext.empty.with(user, 'ada'))
    const read = () => [user.get(), other.getStore()]

    const beforeTheAnchor = scope.runInSnapshot(read, undefined)
    const seen = other.run('first', () =>
      scope.run(() => {
        scope.captureSnapshot()
        return read()
      }),
    )
    const outside = other.run('later', () => scope.runInSnapshot(read, undefined))
    const inside = scope.run(() => other.run('a span', () => scope.runInSnapshot(read, undefined)))

    expect([beforeTheAnchor, seen, outside, inside]).toEqual([
      [undefined, undefined],
      ['ada', 'first'],
      ['ada', 'first'],
      ['ada', 'a span'],
    ])
  })

  it('re-enters after the seal, with what has survived', () => {
    const scope = open(LogicalContext.empty.with(user, 'ada').with(kept, 'kept'))
    scope.run(() => scope.captureSnapshot())
    scope.close()

    expect(scope.runInSnapshot(() => [user.get(), kept.get()], undefined)).toEqual([undefined, 'kept'])
  })

  it('has one signal, that aborts once, with the reason of the first', () => {
    const [read, unread] = [open(), open()]
    const { signal } = read

    for (const scope of [read, unread]) {
      scope.abort(reason)
      scope.abort(new Error('another'))
    }

    expect([signal.reason, read.signal === signal, unread.signal.reason]).toEqual([reason, true, reason])
  })

  it('aborts with a reason of the platform’s form where it is given none', () => {
    const scope = open()

    scope.abort(undefined)

    expect(scope.signal.reason).toMatchObject({ name: 'AbortError', message: 'The work was aborted.' })
  })

  it('returns unchanged what is not a promise, and waits for a thenable that is a function', async () => {
    const scope = open()
    // As some query builders are.
    const query = Object.assign(() => {}, {
      then: (resolve: (rows: string[]) => void) => setImmediate(() => resolve(['row'])),
    }) as unknown as PromiseLike<string[]>

    const plain = [null, undefined, 0, ''].map((value) => scope.run(() => value))
    const rows = scope.run(() => query)
    scope.close()
    const whilePending = scope.sealed

    expect(plain).toEqual([null, undefined, 0, ''])
    expect([await rows, whilePending, scope.sealed]).toEqual([['row'], false, true])
  })

  it('reads `then` of a result once, and returns an object whose `then` throws when it is read', async () => {
    const scope = open()
    let reads = 0
    const query = {
      get then() {
        reads++
        return (resolve: (rows: string) => void) => resolve('rows')
      },
    } as unknown as PromiseLike<string>
    const broken: object = Object.defineProperty({}, 'then', {
      get() {
        throw new Error('then')
      },
    })

    const rows = await scope.run(() => query)
    const same = scope.run(() => broken) === broken
    scope.close()

    expect([rows, reads, same, scope.sealed]).toEqual(['rows', 1, true, true])
  })

  it('does not abort at its end', () => {
    const scope = open()
    scope.close()

    expect(scope.signal.aborted).toBe(false)
  })
})

function open(context = LogicalContext.empty): RequestScope {
  const lateUse = new LateUseWatch({ lateWrites: 'throw', onLateUse: () => {} })
  return new Scope('GET /orders', context, { group: new TaskGroup(), policy: undefined, lateUse })
}

describe('the scope of runInScope', () => {
  it('is a RequestScope', () => {
    expect(runInScope((scope) => scope)).toBeInstanceOf(Scope)
  })
})
