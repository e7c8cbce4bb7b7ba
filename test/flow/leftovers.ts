import { EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import { bind, ContextVar, current, isolateGenerator, type RequestScope, run, runInScope, spawn } from 'logical-context'
import { CallbackPool } from '../../scripts/soak/callback-pool.ts'

export const user = new ContextVar<object>('user')

/** What outlives its unit in a server: each returns an object that the caller keeps. */
export const leftovers: readonly [name: string, leave: (scope: RequestScope) => unknown][] = [
  ['a timer that is idle', () => new Timer(() => user.get())],
  ['a timer of a block', () => user.run(current().get(user) ?? {}, () => new Timer(() => user.get()))],
  ['a timer of a run', () => run(current(), () => new Timer(() => user.get()))],
  ['a promise that is forgotten', () => new Promise(() => {}).then(() => user.get())],
  ['an async function that waits for ever', () => waitForEver()],
  ['a bound function in a cache', () => bind(() => user.get())],
  ['a bound function of a block', () => user.run(current().get(user) ?? {}, () => bind(() => user.get()))],
  [
    'a listener',
    () =>
      new EventEmitter().on(
        'event',
        bind(() => user.get()),
      ),
  ],
  ['a promise in a cache', () => new Map([['answer', Promise.resolve().then(() => user.has())]])],
  ['a callback that waits for a connection of a pool', () => waitingIn(new CallbackPool(0))],
  ['a stream that no code reads', () => Readable.from(suspendedAsync())],
  ['a generator that is suspended', () => suspended()],
  ['an async generator that is suspended', () => suspendedAsync()],
  ['a generator that has set the value itself', () => suspendedWith(current().get(user) ?? {})],
  ['a task that has ended', () => spawn(() => {})],
  ['a shared task that still runs', () => spawn(waitForEver, { policy: 'share' })],
  ['an isolated task that still runs', () => spawn(waitForEver, { policy: 'isolate' })],
  ['a task with other variables that still runs', () => spawn(waitForEver, { policy: { only: [] } })],
  ['a task of an isolated task', () => spawn(() => spawn(waitForEver), { policy: 'isolate' })],
  ['an override that was never disposed', () => user.override({})],
  ['a unit that was opened in it', () => runInScope(waitForEver)],
  ['its scope', (scope) => scope],
]

/** Ends what would keep the process alive. */
export function tidy(leftover: unknown): void {
  if (leftover instanceof Timer) leftover.stop()
}

export async function waitForEver(): Promise<void> {
  await new Promise(() => {})
  user.get()
}

class Timer {
  readonly #handle: NodeJS.Timeout

  constructor(callback: () => void) {
    this.#handle = setInterval(callback, 3_600_000)
  }

  stop(): void {
    clearInterval(this.#handle)
  }
}

function waitingIn(pool: CallbackPool): CallbackPool {
  pool.acquire(bind(() => user.get()))
  return pool
}

function suspended(): unknown {
  const generator = isolateGenerator(function* () {
    for (;;) yield user.has()
  })()
  generator.next()
  return generator
}

function suspendedAsync(): AsyncGenerator<boolean> {
  const generator = isolateGenerator(async function* () {
    for (;;) yield user.has()
  })()
  void generator.next()
  return generator
}

function suspendedWith(value: object): unknown {
  const generator = isolateGenerator(function* (own: WeakRef<object>) {
    setFrom(own)
    yield 1
  })(new WeakRef(value))
  generator.next()
  return generator
}

/** Apart from the generator, whose variables would hold the value. */
function setFrom(ref: WeakRef<object>): void {
  const value = ref.deref()
  if (value !== undefined) user.set(value)
}
