// Parts that are wrong in one way each. The search has to find each of them, with a program that uses the part.
import * as api from 'logical-context'
import { type Parts, rightParts } from './parts.ts'

export interface Wrong {
  readonly name: string
  readonly replaced: Partial<Parts>
  /** What the program that shows it does, as it is printed. */
  readonly shownBy: RegExp
}

export const wrongParts: readonly Wrong[] = [
  { name: 'a set that is seen by tasks', replaced: { ContextVar: withGlobalValue() }, shownBy: / sets | overrides / },
  { name: 'a delete that sets undefined', replaced: { ContextVar: withUndefinedForDeleted() }, shownBy: / deletes / },
  { name: 'an override that restores nothing', replaced: { ContextVar: withoutRestore() }, shownBy: / restores / },
  { name: 'a variable without rules', replaced: { ContextVar: withoutRules() }, shownBy: / spawns | ends/ },
  { name: 'a variable that all survive', replaced: { ContextVar: withSurvival() }, shownBy: / ends/ },
  { name: 'a variable without its default', replaced: { ContextVar: withoutDefault() }, shownBy: /./ },
  { name: 'a block of a variable that is none', replaced: { ContextVar: withoutBlocks() }, shownBy: / runs a block / },
  {
    name: 'a block of a context that is none',
    replaced: { run: withoutContext },
    shownBy: / of snapshot /,
  },
  { name: 'an inherit that shares', replaced: { spawn: spawnWith('inherit', 'share') }, shownBy: / under inherit/ },
  { name: 'an inherit that isolates', replaced: { spawn: spawnWith('inherit', 'isolate') }, shownBy: / under inherit/ },
  { name: 'a share that inherits', replaced: { spawn: spawnWith('share', 'inherit') }, shownBy: / under share/ },
  { name: 'an isolate that inherits', replaced: { spawn: spawnWith('isolate', 'inherit') }, shownBy: / under isolate/ },
  { name: 'an only that inherits', replaced: { spawn: spawnOnly('inherit') }, shownBy: / under only / },
  { name: 'an only that isolates', replaced: { spawn: spawnOnly('isolate') }, shownBy: / under only / },
  {
    name: 'an isolate that starts a fresh unit',
    replaced: { spawn: (fn) => api.runInScope(fn as never) as never },
    shownBy: / spawns /,
  },
  { name: 'a gather that shares', replaced: { gather: gatherUnder('share') }, shownBy: / gathers / },
  { name: 'a gather that isolates', replaced: { gather: gatherUnder('isolate') }, shownBy: / gathers / },
  { name: 'a timeout that makes a task', replaced: { withTimeout: timeoutOfTask }, shownBy: / calls withTimeout/ },
  { name: 'a timeout that no code keeps', replaced: { withTimeout: timeoutWithoutEnd }, shownBy: /is over at once/ },
  { name: 'a shield that makes a task', replaced: { shield: shieldOfTask }, shownBy: / calls shield/ },
  {
    name: 'a generator without a layer',
    replaced: { isolateGenerator: ((fn: unknown) => fn) as never },
    shownBy: / generator /,
  },
  { name: 'a generator in a snapshot', replaced: { isolateGenerator: inSnapshot as never }, shownBy: / steps / },
  { name: 'an async generator without a layer', replaced: { isolateGenerator: onlySync as never }, shownBy: /, async/ },
  {
    name: 'an async generator whose steps overlap',
    replaced: { isolateGenerator: overlapping as never },
    shownBy: /, async/,
  },
  { name: 'a bind that takes a snapshot', replaced: { bind: bindSnapshot }, shownBy: / calls bound | bound/ },
  { name: 'a bind that binds nothing', replaced: { bind: unbound }, shownBy: / calls bound | bound/ },
  {
    name: 'a worker that runs jobs where they come from',
    replaced: { startWorker: workAtOnce },
    shownBy: / takes a job/,
  },
  { name: 'a worker that binds what it is handed', replaced: { startWorker: workBound }, shownBy: / takes a job/ },
  { name: 'a unit that never ends', replaced: { runInScope: withoutEnd as never }, shownBy: / ends/ },
  { name: 'a unit that ends too early', replaced: { runInScope: withoutWaiting as never }, shownBy: / unit / },
  {
    name: 'a unit that starts with what is around it',
    replaced: { runInScope: withSurroundings as never },
    shownBy: / opens /,
  },
  { name: 'a unit that hides late writes', replaced: { runInScope: withReports as never }, shownBy: / opens a unit,/ },
]

type VarClass = Parts['ContextVar']

function withGlobalValue(): VarClass {
  return class<T, D> extends api.ContextVar<T, D> {
    #latest: T | undefined
    override set(value: T): void {
      super.set(value)
      this.#latest = value
    }
    override get(): T | D {
      return this.has() && this.#latest !== undefined ? this.#latest : super.get()
    }
  }
}

function withUndefinedForDeleted(): VarClass {
  return class<T, D> extends api.ContextVar<T, D> {
    override delete(): boolean {
      const present = this.has()
      this.set(undefined as T)
      return present
    }
  }
}

function withoutRestore(): VarClass {
  return class<T, D> extends api.ContextVar<T, D> {
    override override(value: T): Disposable {
      super.override(value)
      return { [Symbol.dispose]() {} }
    }
  }
}

function withoutRules(): VarClass {
  return class<T, D> extends api.ContextVar<T, D> {
    constructor(name: string, options?: api.ContextVarOptions<T, D>) {
      super(name, ...([{ default: options?.default }] as never))
    }
  }
}

function withSurvival(): VarClass {
  return class<T, D> extends api.ContextVar<T, D> {
    constructor(name: string, options?: api.ContextVarOptions<T, D>) {
      super(name, ...([{ ...options, survivesSeal: true }] as never))
    }
  }
}

function withoutDefault(): VarClass {
  return class<T, D> extends api.ContextVar<T, D> {
    override get(): T | D {
      return this.has() ? super.get() : (undefined as never)
    }
  }
}

function withoutBlocks(): VarClass {
  return class<T, D> extends api.ContextVar<T, D> {
    override run<Args extends unknown[], R>(value: T, fn: (...args: Args) => R, ...args: Args): R {
      if (api.current() !== api.LogicalContext.empty) this.set(value)
      return super.run(value, fn, ...args)
    }
  }
}

function withoutContext<Args extends unknown[], R>(_: unknown, fn: (...args: Args) => R, ...args: Args): R {
  return fn(...args)
}

function unbound<F>(fn: F): F {
  return fn
}

function spawnWith(policy: api.Policy, instead: api.Policy): Parts['spawn'] {
  return (fn, options) =>
    api.spawn(fn, { ...options, policy: options?.policy === policy ? instead : (options?.policy ?? policy) })
}

function spawnOnly(instead: api.Policy): Parts['spawn'] {
  return (fn, options = {}) =>
    api.spawn(fn, { ...options, policy: typeof options.policy === 'object' ? instead : (options.policy ?? instead) })
}

function gatherUnder(policy: api.Policy): Parts['gather'] {
  return ((fns: ((task: api.Task) => unknown)[]) =>
    Promise.all(fns.map((fn) => api.spawn(fn, { policy }).result()))) as Parts['gather']
}

/** What asyncio's wait_for() did until Python 3.12. */
function timeoutOfTask<T>(fn: (scope: api.CancelScope) => T | PromiseLike<T>, ms: number): Promise<T> {
  return api.withTimeout(() => withCopy(fn), ms)
}

function timeoutWithoutEnd<T>(fn: (scope: api.CancelScope) => T | PromiseLike<T>): Promise<T> {
  void api.withTimeout(fn, 60_000).catch(() => {})
  return Promise.resolve(undefined as T)
}

function shieldOfTask<T>(fn: (scope: api.CancelScope) => T | PromiseLike<T>): Promise<T> {
  return api.shield(() => withCopy(fn))
}

/** With a copy, as a task has it, but outside any unit too. */
function withCopy<T>(fn: (scope: api.CancelScope) => T | PromiseLike<T>): T | PromiseLike<T> {
  const context = api.current()
  return api.run(context, () => fn({} as api.CancelScope))
}

type Steps = Iterator<unknown, unknown, unknown> & AsyncIterator<unknown, unknown, unknown>

function inSnapshot(fn: () => Steps) {
  return () => {
    const generator = fn()
    const snapshot = api.current()
    return { next: (orders: unknown) => api.run(snapshot, () => generator.next(orders)) }
  }
}

function onlySync(fn: () => Steps) {
  return () => (Symbol.asyncIterator in fn.prototype ? fn() : api.isolateGenerator(fn as never).call(undefined))
}

/** As if each step had its driver at once, also while the one before still runs. */
function overlapping(fn: () => Steps) {
  if (!(Symbol.asyncIterator in fn.prototype)) return api.isolateGenerator(fn as never)
  return () => {
    const generator = fn()
    let last = api.bind((proceed: () => unknown) => proceed())
    return {
      next(orders: { begin(): void; wait(): Promise<unknown>; act(): void }) {
        last = api.bind((proceed: () => unknown) => proceed())
        return generator.next({ ...orders, act: () => last(() => orders.act()) })
      },
    }
  }
}

function bindSnapshot(fn: (...args: unknown[]) => unknown) {
  const snapshot = api.current()
  return (...args: unknown[]) => api.run(snapshot, fn, ...args)
}

function workAtOnce(): (job: (() => void) | undefined) => void {
  return (job) => job && queueMicrotask(job)
}

function workBound(turn: () => Promise<unknown>): (job: (() => void) | undefined) => void {
  const handOver = rightParts.startWorker(turn)
  return (job) => handOver(job && api.bind(job))
}

type Body = (scope: unknown) => unknown

function withoutEnd(fn: Body, options: api.ScopeOptions): unknown {
  let result: unknown
  void api.runInScope((scope) => {
    result = fn(scope)
    return new Promise(() => {})
  }, options)
  return result
}

function withoutWaiting(fn: Body, options: api.ScopeOptions): unknown {
  return api.runInScope((scope) => void fn(scope), options)
}

function withSurroundings(fn: Body, options: api.ScopeOptions): unknown {
  return api.runInScope(fn, { ...options, context: api.current() })
}

function withReports(fn: Body, options: api.ScopeOptions): unknown {
  return api.runInScope(fn, { ...options, lateWrites: 'report' })
}
