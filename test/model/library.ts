import * as api from 'logical-context'
import {
  type BodyAct,
  names,
  pick,
  type PolicySpec,
  type Sight,
  type Step,
  type Value,
  type Variable,
  type VariableSpec,
  variables,
} from './program.ts'

/** The calls of the package that programs are made of. A test of the tests replaces some of them by wrong ones. */
export type Api = Pick<
  typeof api,
  'bind' | 'ContextVar' | 'current' | 'isolateGenerator' | 'run' | 'runInScope' | 'spawn'
>

/** Lets a flow live where this is called. */
type Live = () => Promise<void>

type Var = api.ContextVar<Value, Value>

/** Runs programs with the package itself. Each flow is an async function that waits for what it is told to do. */
export class Library {
  readonly #api: Api
  readonly #vars: Readonly<Record<Variable, Var>>
  readonly #group = new api.TaskGroup({ onError: () => {} })
  readonly #flows: Flow[] = [new Flow(false)]
  readonly #snapshots: api.LogicalContext[] = []
  readonly #bounds: ((live: Live) => unknown)[] = []
  readonly #overrides: Disposable[] = []
  readonly #generators: Generator[] = []

  constructor(replaced: Partial<Api> = {}) {
    this.#api = { ...api, ...replaced }
    this.#vars = makeVariables(this.#api)
    void this.#flows[0]?.live()
  }

  async do(step: Step): Promise<Sight> {
    const flow = pick(this.#flows, step.flow)
    const outcome = flow === undefined || flow.over ? 'nobody is there' : await this.#act(flow, step)
    const read = async (flow: Flow) => (flow.over ? 'over' : flow.do(() => this.#see((variable) => variable)))
    return {
      outcome,
      flows: await Promise.all(this.#flows.map(read)),
      snapshots: this.#snapshots.map((snapshot) =>
        this.#see((variable) => ({ has: () => snapshot.has(variable), get: () => snapshot.get(variable) })),
      ),
    }
  }

  async #act(flow: Flow, step: Step): Promise<unknown> {
    if (step.does === 'end') return flow.end()
    if (step.does === 'step a generator') {
      const generator = pick(this.#generators, step.generator)
      return generator && settle(flow.do(() => generator.step(() => this.#actInBody(step.body))))
    }
    return settle(flow.do(() => this.#actNow(step)))
  }

  #actNow(step: Exclude<Step, { does: 'end' | 'step a generator' }>): unknown {
    const { bind, current, isolateGenerator, run, runInScope, spawn } = this.#api
    switch (step.does) {
      case 'set':
        return this.#vars[step.variable].set(step.value)
      case 'delete':
        return this.#vars[step.variable].delete()
      case 'override':
        this.#overrides.push(this.#vars[step.variable].override(step.value))
        return undefined
      case 'restore':
        return pick(this.#overrides, step.override)?.[Symbol.dispose]()
      case 'go on':
        return this.#begin((live) => goOn[step.way](live))
      case 'block':
        return this.#begin((live) => this.#vars[step.variable].run(step.value, live))
      case 'capture':
        this.#snapshots.push(current())
        return undefined
      case 'run': {
        const snapshot = pick(this.#snapshots, step.snapshot)
        return snapshot && this.#begin((live) => run(snapshot, live))
      }
      case 'bind':
        this.#bounds.push(bind((live: Live) => live()))
        return undefined
      case 'call bound': {
        const bound = pick(this.#bounds, step.bound)
        return bound && this.#begin((live) => bound(live))
      }
      case 'spawn':
        return this.#begin((live) => spawn(live, { policy: this.#policy(step.policy) }), true)
      case 'open a unit':
        return this.#begin(
          (live) => runInScope(live, { group: this.#group, lateWrites: 'throw', onLateUse: () => {} }),
          true,
        )
      case 'make a generator':
        this.#generators.push(new Generator(step.kind, isolateGenerator))
        return undefined
      default:
        return step satisfies never
    }
  }

  #actInBody(body: BodyAct): unknown {
    if (body.act === 'set') return this.#vars[body.variable].set(body.value)
    if (body.act === 'delete') return this.#vars[body.variable].delete()
    return this.#begin((live) => void Promise.resolve().then(live))
  }

  /** A new flow lives where `start` calls what it is given. */
  #begin(start: (live: Live) => unknown, endsUnit = false): unknown {
    const flow = new Flow(endsUnit)
    start(() => flow.live())
    this.#flows.push(flow)
    return flow.living
  }

  #policy(policy: PolicySpec): api.Policy {
    return typeof policy === 'string' ? policy : { only: policy.only.map((name) => this.#vars[name]) }
  }

  #see(reader: (variable: Var) => { has(): boolean; get(): Value }): unknown {
    return Object.fromEntries(
      names.map((name) => {
        const seen = reader(this.#vars[name])
        return [name, [seen.has() ? 'set' : 'default', seen.get()]]
      }),
    )
  }
}

class Flow {
  readonly #endsUnit: boolean
  readonly #living = Promise.withResolvers<void>()
  readonly #ended = Promise.withResolvers<void>()
  #inbox = Promise.withResolvers<(() => void) | undefined>()
  over = false

  constructor(endsUnit: boolean) {
    this.#endsUnit = endsUnit
  }

  /** Resolves when the flow has begun to live. */
  get living(): Promise<void> {
    return this.#living.promise
  }

  async live(): Promise<void> {
    this.#living.resolve()
    for (;;) {
      const job = await this.#inbox.promise
      if (job === undefined) break
      this.#inbox = Promise.withResolvers()
      job()
    }
    // Whoever has called this goes on first, and ends the unit.
    setImmediate(() => this.#ended.resolve())
  }

  /** What `fn` gives when the flow calls it, in the flow's own context. */
  do<R>(fn: () => R): Promise<Awaited<R>> {
    return new Promise((resolve, reject) => {
      this.#inbox.resolve(() => {
        try {
          resolve(fn() as Awaited<R>)
        } catch (error) {
          reject(error)
        }
      })
    })
  }

  async end(): Promise<unknown> {
    if (!this.#endsUnit) return 'has no end'
    this.over = true
    this.#inbox.resolve(undefined)
    await this.#ended.promise
    return 'ended'
  }
}

/** A generator whose body does what it is sent. */
class Generator {
  readonly #generator: { next(act: () => unknown): IteratorResult<unknown> | Promise<IteratorResult<unknown>> }
  #begun = false

  constructor(kind: 'sync' | 'async', isolateGenerator: Api['isolateGenerator']) {
    this.#generator = kind === 'sync' ? isolateGenerator(syncBody)() : isolateGenerator(asyncBody)()
  }

  async step(act: () => unknown): Promise<unknown> {
    if (!this.#begun) void this.#generator.next(act)
    this.#begun = true
    const { value } = await this.#generator.next(act)
    return value
  }
}

function* syncBody(): globalThis.Generator<unknown, never, () => unknown> {
  let outcome: unknown
  for (;;) {
    const act = yield outcome
    outcome = codeOrResult(act)
  }
}

async function* asyncBody(): AsyncGenerator<unknown, never, () => unknown> {
  let outcome: unknown
  for (;;) {
    const act = yield outcome
    await Promise.resolve()
    outcome = codeOrResult(act)
  }
}

const goOn: Record<Extract<Step, { does: 'go on' }>['way'], (live: Live) => void> = {
  await: (live) => void liveAfterAwait(live),
  then: (live) => void Promise.resolve().then(live),
  nextTick: (live) => process.nextTick(() => void live()),
  microtask: (live) => queueMicrotask(() => void live()),
  immediate: (live) => setImmediate(() => void live()),
  timer: (live) => setTimeout(() => void live(), 0),
}

async function liveAfterAwait(live: Live): Promise<void> {
  await Promise.resolve()
  await live()
}

/** Variables of which those that are far have more than the array's 32 before them. */
function makeVariables({ ContextVar }: Api): Record<Variable, Var> {
  const make = (name: Variable): Var => {
    const { onSpawn, ...spec }: VariableSpec = variables[name]
    const rule = onSpawn === 'derive' ? (value: Value) => `${String(value)}'` : onSpawn
    return new ContextVar<Value, Value>(name, { ...spec, ...(rule && { onSpawn: rule }) })
  }
  const entries = names.filter((name) => !name.startsWith('far')).map((name) => [name, make(name)] as const)
  for (let i = 0; i < 32; i++) void new ContextVar('between')
  const far = names.filter((name) => name.startsWith('far')).map((name) => [name, make(name)] as const)
  return Object.fromEntries([...entries, ...far]) as Record<Variable, Var>
}

async function settle(outcome: Promise<unknown>): Promise<unknown> {
  try {
    return await outcome
  } catch (error) {
    return codeOf(error)
  }
}

function codeOrResult(act: () => unknown): unknown {
  try {
    return act()
  } catch (error) {
    return codeOf(error)
  }
}

/** Errors of the package are outcomes; all others are mistakes of ours. */
function codeOf(error: unknown): unknown {
  const { code } = error as { code?: string }
  if (code?.startsWith('LCTX_') !== true) throw error
  return code
}
