import { setImmediate as nextTurn } from 'node:timers/promises'
import { currentSignal, type LogicalContext, type Policy, spawn, TaskGroup } from 'logical-context'
import { Flow, type Live } from './flow.ts'
import { ObedientGenerator } from './generator-body.ts'
import { codeOf, countLateWrites, outcomeOf } from './outcome.ts'
import { type Var, variablesOf } from './package-variables.ts'
import type { Parts } from './parts.ts'
import { type Act, type BodyAct, pick, type PolicySpec, type preparations, type Step } from './program.ts'
import { show, type Sight, type Value, type Variable } from './variables.ts'
import { goOn } from './ways.ts'
import type { Witness } from './witness.ts'

type HandOver = ReturnType<Parts['startWorker']>

/** Runs programs with the package itself. */
export class Library {
  readonly #parts: Parts
  readonly #witness: Witness
  /** Something to await that other code ends. */
  readonly #turn: (what: string) => Promise<unknown>
  readonly #vars: Readonly<Record<Variable, Var>>
  readonly #group = new TaskGroup({ onError: () => {} })
  readonly #flows: Flow[] = []
  readonly #snapshots: LogicalContext[] = []
  readonly #bounds: ((live: Live) => unknown)[] = []
  readonly #overrides: Disposable[] = []
  readonly #generators: ObedientGenerator[] = []
  readonly #workers: HandOver[] = []
  /** What is not over when its step is: calls, and steps of async generators. */
  readonly #pending: Promise<unknown>[] = []

  /** Calls whose time is about to be over. */
  readonly #limits: Promise<void>[] = []

  constructor(parts: Parts, witness: Witness, turn: (what: string) => Promise<unknown>) {
    this.#parts = parts
    this.#witness = witness
    this.#turn = turn
    this.#vars = variablesOf(parts)
    this.#begin((live) => live())
  }

  /** Lets a flow do a step. Returns when all has begun that begins with it. */
  async do(step: Step): Promise<void> {
    const flow = this.#flows[pick(this.#flows.length, step.flow) ?? 0] as Flow
    const count = this.#flows.length
    await flow.do(() => {
      const act = { ...step, flow: flow.number }
      this.#witness.act(
        act,
        outcomeOf(() => this.#act(flow, act)),
      )
    })
    await Promise.all(this.#flows.slice(count).map(({ living }) => living))
    await Promise.all(this.#limits.splice(0))
    // Whatever has to happen at an end has happened then.
    if (step.does === 'end') for (let i = 0; i < 2; i++) await nextTurn()
  }

  /** Lets each flow say what it sees. */
  async lookAround(): Promise<void> {
    const look = (flow: Flow) => flow.do(() => this.#witness.sees(flow.number, this.#see()))
    await Promise.all(this.#flows.map(look))
  }

  get snapshots(): Sight[] {
    return this.#snapshots.map((snapshot) =>
      show(
        (variable) => snapshot.has(this.#vars[variable]),
        (variable) => snapshot.get(this.#vars[variable]),
      ),
    )
  }

  /** Resolves when nothing is on its way any more. */
  async settled(): Promise<void> {
    while (this.#pending.length > 0) await this.#pending.shift()
  }

  /** Ends all that still lives, so that nothing holds it. */
  async close(): Promise<void> {
    for (const handOver of this.#workers) handOver(undefined)
    for (const flow of this.#flows) {
      void flow.do(() => {
        flow.over = true
      })
    }
    await nextTurn()
  }

  #act(flow: Flow, act: Act): unknown {
    const { bind, current, isolateGenerator, run, runInScope, shield } = this.#parts
    switch (act.does) {
      case 'set':
        return this.#vars[act.variable].set(act.value)
      case 'delete':
        return this.#vars[act.variable].delete()
      case 'override':
        return this.#override(this.#vars[act.variable], act.value)
      case 'restore':
        return this.#overrides[pick(this.#overrides.length, act.override) ?? -1]?.[Symbol.dispose]()
      case 'go on':
        return this.#begin((live) => goOn[act.way](live))
      case 'block':
        return this.#begin((live) => this.#vars[act.variable].run(act.value, live))
      case 'capture':
        this.#snapshots.push(current())
        return undefined
      case 'run': {
        const snapshot = this.#snapshots[pick(this.#snapshots.length, act.snapshot) ?? -1]
        return snapshot && this.#begin((live) => run(snapshot, live))
      }
      case 'bind':
        this.#bounds.push(bind((live: Live) => live()))
        return undefined
      case 'call bound': {
        const bound = this.#bounds[pick(this.#bounds.length, act.bound) ?? -1]
        return bound && this.#begin((live) => bound(live))
      }
      case 'spawn':
        return this.#begin((live) => this.#parts.spawn(live, { policy: this.#policy(act.policy) }), 'a unit')
      case 'gather':
        return this.#gather(act.count)
      case 'withTimeout':
        return this.#begin((live) => this.#withTimeout(live, act.limit), 'a call')
      case 'shield':
        return this.#begin((live) => void shield(live), 'a call')
      case 'open a unit': {
        const options = { group: this.#group, lateWrites: act.lateWrites, onLateUse: () => {} }
        return this.#begin((live) => runInScope(live, options), 'a unit')
      }
      case 'end':
        if (flow.ends === undefined) return 'has no end'
        flow.over = true
        return undefined
      case 'make a generator':
        this.#generators.push(new ObedientGenerator(act.kind, isolateGenerator))
        return undefined
      case 'step a generator':
        return this.#step(pick(this.#generators.length, act.generator), act.body, flow)
      case 'start a worker':
        this.#workers.push(this.#parts.startWorker(() => this.#turn('a worker takes a job')))
        return undefined
      case 'hand over':
        return this.#handOver(pick(this.#workers.length, act.worker), act.job)
      default:
        return act satisfies never
    }
  }

  #override(variable: Var, value: Value): void {
    const before = countLateWrites()
    const override = variable.override(value)
    if (countLateWrites() === before) this.#overrides.push(override)
  }

  #gather(count: number): unknown {
    if (!isInUnit()) return 'not outside'
    const flows = Array.from({ length: count }, (_, index) => this.#flow(this.#flows.length + index, 'a unit'))
    const gather = () => this.#parts.gather(flows.map(({ live }) => live))
    // If the time is over, nothing begins: that does not concern values, and has tests of its own.
    void (currentSignal()?.aborted === true ? this.#parts.shield(gather) : gather())
    this.#flows.push(...flows)
    return undefined
  }

  #withTimeout(live: Live, limit: 'far' | 'over at once'): void {
    const flow = this.#flows.length
    const call = this.#parts.withTimeout(live, limit === 'far' ? 60_000 : 0)
    if (limit === 'far') {
      // What is around it may have no time left, and then it has none either.
      call.catch(() => {})
      return
    }
    const returns = call.then(
      () => this.#witness.returns(flow, 'in time'),
      (error: unknown) => this.#witness.returns(flow, codeOf(error)),
    )
    this.#limits.push(returns)
  }

  #step(number: number | undefined, body: BodyAct, driver: Flow): void {
    const generator = this.#generators[number ?? -1]
    if (number === undefined || generator === undefined) return
    const step = generator.step({
      begin: () => this.#witness.drives(number, driver.number),
      wait: () => this.#turn('a generator goes on'),
      act: () =>
        this.#witness.actsInBody(
          number,
          body,
          outcomeOf(() => this.#actInBody(body)),
        ),
    })
    this.#pending.push(Promise.resolve(step))
  }

  #actInBody(body: BodyAct): unknown {
    if (body.act === 'set') return this.#vars[body.variable].set(body.value)
    if (body.act === 'delete') return this.#vars[body.variable].delete()
    return this.#begin((live) => void Promise.resolve().then(() => live()))
  }

  #handOver(number: number | undefined, preparation: (typeof preparations)[number]): void {
    const handOver = this.#workers[number ?? -1]
    if (number === undefined || handOver === undefined) return
    const { bind, current, run } = this.#parts
    const snapshot = current()
    const prepare = {
      bound: () => bind((live: Live) => live()),
      'with a snapshot': () => (live: Live) => run(snapshot, live),
      'as it is': () => (live: Live) => live(),
    }
    const job = prepare[preparation]()
    const taken = Promise.withResolvers<void>()
    this.#pending.push(taken.promise)
    handOver(() => {
      this.#begin(job)
      this.#witness.takesJob(number)
      taken.resolve()
    })
  }

  /** A new flow lives where `start` calls what it is given. */
  #begin(start: (live: Live) => unknown, ends?: Flow['ends']): void {
    const flow = this.#flow(this.#flows.length, ends)
    start(flow.live)
    this.#flows.push(flow)
  }

  #flow(number: number, ends: Flow['ends']): Flow {
    return new Flow(number, ends, () => this.#witness.unitEnds(number))
  }

  #policy(policy: PolicySpec): Policy {
    return typeof policy === 'string' ? policy : { only: policy.only.map((name) => this.#vars[name]) }
  }

  #see(): Sight {
    return show(
      (variable) => this.#vars[variable].has(),
      (variable) => this.#vars[variable].get(),
    )
  }
}

/** A task has an owner only in a unit. */
function isInUnit(): boolean {
  return outcomeOf(() => void spawn(() => {}, { policy: 'share' })) === undefined
}
