import {
  gather,
  openScope,
  race,
  runInScope,
  shield,
  spawn,
  TaskGroup,
  withTaskGroup,
  withTimeout,
} from 'logical-context'
import { Messages } from 'logical-context/messages/message'
import { describe, expect, it, onTestFinished, vi } from 'vitest'

const traps = ['get', 'has', 'getPrototypeOf', 'ownKeys', 'getOwnPropertyDescriptor', 'apply'] as const
const throwing = () => {
  throw new Error('a trap of the proxy')
}

function proxyOf(target: object): object {
  return new Proxy(target, Object.fromEntries(traps.map((trap) => [trap, throwing])))
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

function withGetters(target: object): object {
  for (const name of ['name', 'code', 'message', 'cause', 'stack', 'errors', 'metadata']) {
    Object.defineProperty(target, name, { get: throwing })
  }
  return target
}

/** Values that can be thrown, and that throw themselves when they are looked at. */
const hostile: [name: string, value: unknown][] = [
  ['a proxy whose traps throw', proxyOf({})],
  ['a proxy of an error whose traps throw', proxyOf(new Error('target'))],
  ['a revoked proxy', revoked()],
  ['an error whose getters throw', withGetters(new Error('x'))],
  ['an object without a prototype', Object.create(null)],
  ['an object without a prototype whose getters throw', withGetters(Object.create(null) as object)],
  ['an error whose cause is a proxy', new Error('x', { cause: proxyOf({}) })],
  ['an AggregateError of a proxy', new AggregateError([proxyOf({})])],
  ['undefined', undefined],
  ['a symbol', Symbol('thrown')],
]

/** What a call rejects with. Asserted with `===`, because a comparison would look at the value. */
async function failureOf(call: Promise<unknown>): Promise<{ error: unknown } | undefined> {
  try {
    await call
    return undefined
  } catch (error) {
    return { error }
  }
}

describe.each(hostile)('%s', (_, value) => {
  const fail = async () => {
    await Promise.resolve()
    throw value
  }
  const failAtOnce = () => {
    throw value
  }
  const quiet = () => {
    const error = vi.spyOn(console, 'error').mockReturnValue()
    onTestFinished(() => error.mockRestore())
    return error
  }

  it.each<[string, () => Promise<unknown>]>([
    ['gather', () => gather([fail])],
    ['gather, at once', () => gather([failAtOnce])],
    ['gather with a sibling that stops', () => gather([fail, ({ signal }) => stopped(signal)])],
    ['race', () => race([fail, ({ signal }) => stopped(signal)])],
    ['withTimeout', () => withTimeout(fail, 60_000)],
    ['withTimeout, at once', () => withTimeout(failAtOnce, 60_000)],
    ['shield', () => shield(fail)],
    ['the result of a task', () => spawn(fail, { onError: () => {} }).result()],
    ['Messages.process', () => new Messages('jobs').process({ queue: 'jobs' }, fail)],
    ['Messages.enqueue', () => new Messages('jobs').enqueue('jobs', 60_000, fail())],
  ])('is the failure of %s', async (_name, call) => {
    const failure = await failureOf(runInScope(() => call()))

    expect(failure !== undefined && failure.error === value).toBe(true)
  })

  it.each<[string, () => Promise<unknown>, number]>([
    ['gather', () => gather([fail, fail, failAtOnce].map((each) => async () => wrap(each))), 3],
    ['withTaskGroup', () => withTaskGroup((group) => void group.spawn(fail)), 1],
    ['the body of withTaskGroup', () => withTaskGroup(fail), 1],
  ])('is in the AggregateError of %s', async (_name, call, count) => {
    const failure = await failureOf(runInScope(call))

    const error = failure?.error
    const errors = error instanceof AggregateError ? (error.errors as unknown[]) : []
    expect(errors.length).toBe(count)
    expect(errors.every((each) => each === value || (each as Wrapped).of === value)).toBe(true)
  })

  it('goes to onError, of a task and of a listener', async () => {
    const failures: unknown[] = []
    const group = new TaskGroup({ onError: (error) => failures.push(error) })
    runInScope(() => void spawn(fail), { group })
    openScope('events', { group }).listener(failAtOnce)()

    await group.drain()

    expect(failures.length).toBe(2)
    expect(failures.every((error) => error === value)).toBe(true)
  })

  it('is printed without an onError, and its task ends', async () => {
    const error = quiet()
    const group = new TaskGroup()
    runInScope(() => void spawn(fail, { name: 'hostile' }), { group })

    const { unfinished } = await group.drain()

    expect(unfinished).toEqual([])
    expect(error.mock.calls.flat().join()).toMatch(/the task 'hostile' \(id \d+\) failed: /)
  })

  it('of aborted work is a failure, unless it is an error of the cancellation', async () => {
    const group = new TaskGroup({ onError: () => {} })
    const task = runInScope(() => spawn(async ({ signal }) => stopped(signal).catch(failAtOnce)), { group })

    task.abort(new Error('gone'))
    await group.drain()

    expect(group.counters).toMatchObject({ failed: 1, cancelled: 0, running: 0 })
  })

  it('as the reason of an abort is recognised', async () => {
    const group = new TaskGroup({ onError: () => {} })
    const task = runInScope(() => spawn(async ({ signal }) => stopped(signal)), { group })

    task.abort(value)
    await group.drain()

    expect(group.counters).toMatchObject({ failed: 0, cancelled: 1, running: 0 })
  })
})

interface Wrapped {
  readonly of: unknown
}

/** An error of its own for each call: the same one counts once. */
async function wrap(fn: () => unknown): Promise<unknown> {
  try {
    return await fn()
  } catch (error) {
    throw Object.assign(new Error('wrapped'), { of: error })
  }
}

function stopped(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })
}
