import {
  ContextVar,
  currentSignal,
  gather,
  isolateGenerator,
  race,
  type RequestScope,
  runInScope,
  shield,
  TaskGroup,
  withTaskGroup,
  withTimeout,
} from 'logical-context'
import { describe, expect, it } from 'vitest'

const user = new ContextVar<string>('user')
const note = new ContextVar<string>('note')
const gone = new Error('the client is gone')
const boom = new Error('boom')

type Body = (scope: { readonly signal: AbortSignal }) => unknown

/** The table of DESIGN, section 3: one row for each way to run a function. */
interface Row {
  name: string
  call: (fn: Body) => Promise<unknown>
  /** Whether what the function sets is set for the caller. */
  shares: boolean
  /** Whether the caller's abort reaches the function. */
  cancels: boolean
  /** Whether the function begins for a caller that is aborted already. */
  beginsLate: boolean
  /** What the caller gets for an error of the function. */
  failure: (error: Error) => unknown
}

const itself = (error: Error) => error
const aggregated = (error: Error) => expect.objectContaining({ name: 'AggregateError', errors: [error] })

const rows: Row[] = [
  {
    name: 'withTimeout',
    call: (fn) => withTimeout(fn, 60_000),
    shares: true,
    cancels: true,
    beginsLate: true,
    failure: itself,
  },
  {
    name: 'shield',
    call: (fn) => shield(fn),
    shares: true,
    cancels: false,
    beginsLate: true,
    failure: itself,
  },
  {
    name: 'gather',
    call: (fn) => gather([fn]).then(([value]) => value),
    shares: false,
    cancels: true,
    beginsLate: false,
    failure: itself,
  },
  {
    name: 'race',
    call: (fn) => race([fn]),
    shares: false,
    cancels: true,
    beginsLate: false,
    failure: itself,
  },
  {
    name: 'withTaskGroup, its body',
    call: (fn) => withTaskGroup((group) => fn(group)),
    shares: true,
    cancels: true,
    beginsLate: true,
    failure: aggregated,
  },
  {
    name: 'withTaskGroup, a task',
    call: (fn) => withTaskGroup((group) => group.spawn(fn).result()),
    shares: false,
    cancels: true,
    beginsLate: true,
    failure: aggregated,
  },
]

/** Runs in a unit of its own, in which the user is set. */
function inUnit<T>(name: string, fn: (scope: RequestScope) => Promise<T>): Promise<T> {
  return runInScope(
    (scope) => {
      user.set(name)
      return fn(scope)
    },
    { name, group: new TaskGroup() },
  )
}

const tick = () => new Promise<void>((resolve) => setImmediate(resolve))

describe.each(rows)('$name', ({ call, shares, cancels, beginsLate, failure }) => {
  it('shares the caller’s values with its function, before its first await and after', async () => {
    const seen = await inUnit('ada', () =>
      call(async () => {
        const before = user.get()
        await tick()
        return [before, user.get()]
      }),
    )

    expect(seen).toEqual(['ada', 'ada'])
  })

  it(shares ? 'shares the writes of its function with the caller' : 'keeps the writes of its function', async () => {
    const seen = await inUnit('ada', async () => {
      note.set('mine')
      await call(async () => {
        user.set('early')
        await tick()
        note.delete()
        const inner = async () => user.set(`${user.get()} and late`)
        await inner()
      })
      return [user.get(), note.get()]
    })

    expect(seen).toEqual(shares ? ['early and late', undefined] : ['ada', 'mine'])
  })

  it(
    shares ? 'shares later writes of the caller with its function' : 'shows its function nothing the caller sets later',
    async () => {
      const seen = await inUnit('ada', async () => {
        const called = call(async () => {
          await tick()
          return user.get()
        })
        user.set('later')
        return called
      })

      expect(seen).toBe(shares ? 'later' : 'ada')
    },
  )

  it('restores what an override hides, as without it', async () => {
    const seen = await inUnit('ada', async () => {
      await call(async () => {
        {
          using _ = user.override('guest')
          await tick()
        }
        return user.get()
      })
      return user.get()
    })

    expect(seen).toBe('ada')
  })

  it('keeps each caller’s context in every catch and finally', async () => {
    const visit = async (name: string): Promise<unknown[]> => {
      const seen: unknown[] = []
      try {
        await call(async () => {
          await tick()
          seen.push(user.get())
          throw boom
        })
      } catch {
        seen.push(user.get())
      } finally {
        await tick()
        seen.push(user.get())
      }
      return [name, ...seen]
    }

    const seen = await Promise.all(['ada', 'bob', 'cleo'].map((name) => inUnit(name, () => visit(name))))

    expect(seen).toEqual(['ada', 'bob', 'cleo'].map((name) => [name, name, name, name]))
  })

  it.each([
    [
      'at once',
      () => {
        throw boom
      },
    ],
    [
      'later',
      async () => {
        await tick()
        throw boom
      },
    ],
  ])('rejects with its function’s failure, thrown %s', async (_when, fn) => {
    const outcome = await inUnit('ada', () => call(fn).catch((error: unknown) => error))

    expect(outcome).toEqual(failure(boom))
  })

  it('resolves with what its function returns, also without a promise', async () => {
    const values = await inUnit('ada', () => Promise.all([call(() => 1), call(async () => 2)]))

    expect(values).toEqual([1, 2])
  })

  it(cancels ? 'aborts its function’s signal with the caller’s' : 'keeps the caller’s abort away', async () => {
    const seen = await inUnit('ada', (scope) =>
      call(async ({ signal }) => {
        const ambient = currentSignal()
        await tick()
        scope.abort(gone)
        return [signal.reason, ambient?.reason, currentSignal()?.reason]
      }),
    )

    expect(seen).toEqual(cancels ? [gone, gone, gone] : [undefined, undefined, undefined])
  })

  it(`${beginsLate ? 'begins' : 'does not begin'} for a caller that is aborted already`, async () => {
    const reasons: unknown[] = []

    await inUnit('ada', async (scope) => {
      scope.abort(gone)
      await call(({ signal }) => reasons.push(signal.reason, currentSignal()?.reason)).catch((error: unknown) => {
        expect(error).toBe(gone)
      })
    })

    expect(reasons).toEqual(beginsLate ? (cancels ? [gone, gone] : [undefined, undefined]) : [])
  })

  it('is the signal of all code in its function: in blocks, generators and nested calls', async () => {
    const seen = await inUnit('ada', () =>
      call(async ({ signal }) => {
        const steps = isolateGenerator(function* () {
          while (true) yield currentSignal()
        })()
        const inBlock = await user.run('guest', async () => {
          await tick()
          return currentSignal()
        })
        const deep = user.run('guest', () => note.run('deep', () => currentSignal()))
        return [inBlock, deep, steps.next().value, steps.next().value].map((found) => found === signal)
      }),
    )

    expect(seen).toEqual([true, true, true, true])
  })

  it('leaves the caller’s own signal as it was', async () => {
    const seen = await inUnit('ada', async (scope) => {
      await call(async () => tick())
      return [currentSignal() === scope.signal, scope.signal.aborted]
    })

    expect(seen).toEqual([true, false])
  })

  it('works outside any unit', async () => {
    expect(await call(async () => [await tick(), user.get()])).toEqual([undefined, undefined])
  })

  it('runs its function under the signal of the call around it', async () => {
    const seen = await inUnit('ada', (scope) =>
      call(() =>
        withTimeout(async ({ signal }) => {
          scope.abort(gone)
          return signal.reason as unknown
        }, 60_000),
      ),
    )

    expect(seen).toBe(cancels ? gone : undefined)
  })
})
