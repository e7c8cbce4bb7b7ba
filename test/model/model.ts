// The rules of section 3 of the design in their plainest form: values are a Map that is copied for each new owner, a cell
// is an object with such a Map, and each flow names its cell. No AsyncLocalStorage, no sharing, nothing fast. The model
// is called for each event, when it happens.
import { type Act, type BodyAct, pick, type PolicySpec, type Step } from './program.ts'
import { derive, show, type Sight, type Value, type Variable, type VariableSpec, variables } from './variables.ts'

/** Deleted in a generator's body: the driver's value is hidden. */
const deleted = Symbol('deleted')

type Values = Map<Variable, Value | typeof deleted>

interface Cell {
  own: Values
  readonly unit: Unit | undefined
  sealed: boolean
  /** For the steps of a generator. They have no values of their own. */
  readonly step?: { readonly layer: Layer; readonly driver: Cell | undefined; readonly target: Cell }
}

/** What a generator's body has set: a cell for each unit that drives it, and one for steps outside any unit. */
interface Layer {
  cells: Cell[]
}

interface Unit {
  readonly lateWrites: 'throw' | 'report'
  ended: boolean
}

interface Flow {
  /** Undefined outside any unit and block. */
  readonly cell: Cell | undefined
  /** What ends with this flow: a unit, or a call whose caller has waited for it. */
  readonly ends: Unit | 'a call' | undefined
  over: boolean
}

interface Override {
  readonly cell: Cell
  readonly variable: Variable
  /** A cell of the same unit, so that what it restores ends with that too. */
  readonly before: Cell
  over: boolean
}

interface Worker {
  readonly cell: Cell | undefined
  /** For each job, what it makes of the worker's cell when it is taken. */
  readonly jobs: ((worker: Cell | undefined) => Cell | undefined)[]
}

export class Model {
  readonly #cells: Cell[] = []
  readonly #flows: Flow[] = [{ cell: undefined, ends: undefined, over: false }]
  readonly #snapshots: Values[] = []
  readonly #bounds: { readonly cell: Cell | undefined }[] = []
  readonly #overrides: Override[] = []
  readonly #generators: { readonly layer: Layer; step: Cell }[] = []
  readonly #workers: Worker[] = []

  get flowCount(): number {
    return this.#flows.length
  }

  /** What a flow sees now. */
  see(flow: number): Sight {
    return showValues(visible(this.#flows[flow]?.cell))
  }

  get snapshots(): Sight[] {
    return this.#snapshots.map(showValues)
  }

  /** A flow does a step; says what comes of it. What a generator's body does then is recorded in its own time. */
  act({ flow: number, ...act }: Step): unknown {
    const flow = this.#flows[number] as Flow
    const { cell } = flow
    switch (act.does) {
      // Rule 1: a write is seen by all flows of the cell. Rules 9 and 10: not after the end, not outside.
      case 'set':
        return writing(cell, act.variable, act.value)
      case 'delete':
        return deleteIn(cell, act.variable)
      case 'override':
        return this.#override(cell, act)
      case 'restore':
        return this.#restore(pick(this.#overrides.length, act.override))
      case 'go on':
        return this.#flow(cell)
      // Rule 6: a block has a cell of its own, which starts from what is visible.
      case 'block':
        return this.#flow(this.#cell(visible(cell).set(act.variable, act.value), cell?.unit))
      case 'capture':
        this.#snapshots.push(visible(cell))
        return undefined
      case 'run': {
        const snapshot = this.#snapshots[pick(this.#snapshots.length, act.snapshot) ?? -1]
        return snapshot && this.#flow(this.#cell(snapshot, cell?.unit))
      }
      // Rule 11: a bound function runs in the cell of the code that bound it, also if other code calls it.
      case 'bind':
        this.#bounds.push({ cell })
        return undefined
      case 'call bound': {
        const bound = this.#bounds[pick(this.#bounds.length, act.bound) ?? -1]
        return bound && this.#flow(bound.cell)
      }
      case 'spawn':
        // Rules 8 and 10: each task can spawn, because its cell has a unit; outside a unit no code can.
        return cell?.unit === undefined ? 'LCTX_OUTSIDE_UNIT' : this.#task(cell, cell.unit, act.policy)
      // Each of the functions is a task that inherits. Outside any unit the tasks could spawn only until the last one ends.
      case 'gather':
        if (cell?.unit === undefined) return 'not outside'
        for (let i = 0; i < act.count; i++) this.#task(cell, cell.unit, 'inherit')
        return undefined
      // Code that awaits a call shares with it, also through wrappers, and also after its time is over.
      case 'withTimeout':
      case 'shield':
        return this.#flow(cell, 'a call')
      // Rule 10: a unit inside a unit starts fresh.
      case 'open a unit': {
        const unit = { lateWrites: act.lateWrites, ended: false }
        return this.#flow(this.#cell(new Map(), unit), unit)
      }
      case 'end':
        if (flow.ends === undefined) return 'has no end'
        flow.over = true
        return undefined
      case 'make a generator':
        this.#generators.push({ layer: { cells: [] }, step: this.#cell(new Map(), undefined) })
        this.drive(this.#generators.length - 1, number)
        return undefined
      case 'step a generator':
        return undefined
      case 'start a worker':
        this.#workers.push({ cell, jobs: [] })
        return undefined
      case 'hand over':
        return this.#handOver(cell, act)
      default:
        return act satisfies never
    }
  }

  /** Rule 7: from here until its next yield a generator's body runs for this flow. What it starts stays with this flow. */
  drive(number: number, flow: number): void {
    const generator = this.#generators[number] as { layer: Layer; step: Cell }
    const driver = this.#flows[flow]?.cell
    // A body that drives itself stays in its step.
    const known = driversOf(driver).find(({ step }) => step?.layer === generator.layer)
    generator.step = known ?? this.#step(generator.layer, driver)
  }

  #step(layer: Layer, driver: Cell | undefined): Cell {
    const unit = driver?.unit?.ended === true ? undefined : driver?.unit
    let target = layer.cells.find((cell) => cell.unit === unit)
    if (target === undefined) layer.cells.push((target = this.#cell(new Map(), unit)))
    return { own: new Map(), unit: driver?.unit, sealed: false, step: { layer, driver, target } }
  }

  /** Rule 7: the body writes to its layer, and sees its driver's values below that. */
  actInBody(number: number, body: BodyAct): unknown {
    const { step } = this.#generators[number] as { step: Cell }
    if (body.act === 'set') return writing(step, body.variable, body.value)
    if (body.act === 'delete') return deleteIn(step, body.variable)
    return this.#flow(step)
  }

  /** A worker takes the job that waits longest. */
  takeJob(number: number): void {
    const { cell, jobs } = this.#workers[number] as Worker
    this.#flow(jobs.shift()?.(cell))
  }

  isOver(flow: number): boolean {
    return this.#flows[flow]?.over === true
  }

  /** Whether a flow's unit has ended, where it has one and is over. */
  hasEnded(flow: number): boolean {
    const { ends, over } = this.#flows[flow] as Flow
    return typeof ends !== 'object' || !over || ends.ended
  }

  /** Rule 9: with the unit all its cells are sealed, and hold no more than what survives. */
  endUnit(flow: number): unknown {
    const { ends: unit, over } = this.#flows[flow] ?? { over: false }
    if (typeof unit !== 'object' || !over) return 'too early'
    unit.ended = true
    for (const { layer } of this.#generators) leave(layer, unit)
    for (const cell of this.#cells) {
      if (cell.unit !== unit || cell.sealed) continue
      cell.own = new Map([...visible(cell)].filter(([variable]) => survivesSeal(variable)))
      cell.sealed = true
    }
    return undefined
  }

  /** Rules 2 to 5. */
  #task(cell: Cell, { lateWrites }: Unit, policy: PolicySpec): undefined {
    const unit = { lateWrites, ended: false }
    if (policy === 'share') return this.#flow(cell, unit)
    return this.#flow(this.#cell(cross(visible(cell), policy), unit), unit)
  }

  #override(cell: Cell | undefined, { variable, value }: Extract<Act, { does: 'override' }>): unknown {
    if (cell !== undefined && !isSealed(cell)) {
      const before = new Map([...ownOf(cell)].filter(([set]) => set === variable))
      this.#overrides.push({ cell, variable, before: this.#cell(before, cell.unit), over: false })
    }
    return writing(cell, variable, value)
  }

  #restore(which: number | undefined): unknown {
    const override = this.#overrides[which ?? -1]
    if (override === undefined || override.over) return undefined
    override.over = true
    const { cell, variable, before } = override
    if (isSealed(cell)) return undefined
    unset(cell, variable)
    for (const [set, value] of before.own) writing(cell, set, value)
    return undefined
  }

  /** A worker runs all jobs where it was started, so a job has to be bound to its unit: rules 11 and 6. */
  #handOver(cell: Cell | undefined, { worker, job }: Extract<Act, { does: 'hand over' }>): unknown {
    const jobs = this.#workers[pick(this.#workers.length, worker) ?? -1]?.jobs
    const snapshot = visible(cell)
    if (job === 'bound') jobs?.push(() => cell)
    else if (job === 'with a snapshot') jobs?.push((worker) => this.#cell(snapshot, worker?.unit))
    else jobs?.push((worker) => worker)
    return undefined
  }

  #cell(values: Values, unit: Unit | undefined): Cell {
    const cell: Cell = { own: new Map(values), unit, sealed: false }
    // A cell that is opened after the end of its unit has no end.
    if (unit?.ended !== true) this.#cells.push(cell)
    return cell
  }

  #flow(cell: Cell | undefined, ends?: Unit | 'a call'): undefined {
    this.#flows.push({ cell, ends, over: false })
  }
}

/** The part of its spawner's values that a task sees. A variable's own rule has precedence over the policy. */
function cross(values: Values, policy: Exclude<PolicySpec, 'share'>): Values {
  const crossed: Values = new Map()
  for (const [variable, value] of values) {
    const { onSpawn }: VariableSpec = variables[variable]
    if (onSpawn === 'drop') continue
    if (onSpawn === 'derive') crossed.set(variable, derive(value, typeof policy === 'string' ? policy : 'only'))
    else if (onSpawn === 'keep' || policy === 'inherit') crossed.set(variable, value)
    else if (policy !== 'isolate' && policy.only.includes(variable)) crossed.set(variable, value)
  }
  return crossed
}

/** What the code in a cell sees, as a copy. */
function visible(cell: Cell | undefined): Values {
  if (cell === undefined) return new Map()
  const values = visible(cell.step?.driver)
  for (const [variable, value] of ownOf(cell)) {
    if (value === deleted) values.delete(variable)
    else values.set(variable, value)
  }
  return values
}

/** The values of a cell without those of a generator's driver. */
function ownOf(cell: Cell): Values {
  if (cell.step === undefined) return cell.own
  const { layer, target } = cell.step
  return isSealed(cell) ? target.own : new Map(layer.cells.flatMap(({ own }) => [...own]))
}

function isSealed({ sealed, step }: Cell): boolean {
  return sealed || step?.target.sealed === true || (step?.driver !== undefined && isSealed(step.driver))
}

function writing(cell: Cell | undefined, variable: Variable, value: Value | typeof deleted): unknown {
  if (cell === undefined) return 'LCTX_OUTSIDE_UNIT'
  if (isSealed(cell)) return cell.unit?.lateWrites === 'throw' ? 'LCTX_LATE_WRITE' : 'reported'
  unset(cell, variable)
  const { own } = cell.step?.target ?? cell
  own.set(variable, value)
  return undefined
}

/** As if the variable was never set in the cell. */
function unset(cell: Cell, variable: Variable): void {
  for (const { own } of cell.step?.layer.cells ?? [cell]) own.delete(variable)
}

function deleteIn(cell: Cell | undefined, variable: Variable): unknown {
  const present = visible(cell).has(variable)
  return writing(cell, variable, deleted) ?? present
}

/** Rule 7: what the body has set is kept by another unit that drives it. */
function leave(layer: Layer, unit: Unit): void {
  const ended = layer.cells.find((cell) => cell.unit === unit)
  if (ended === undefined) return
  layer.cells = layer.cells.filter((cell) => cell !== ended)
  const heir = layer.cells.findLast((cell) => cell.unit !== undefined)
  if (heir !== undefined) heir.own = new Map([...heir.own, ...ended.own])
  ended.own = new Map([...ended.own, ...layer.cells.flatMap(({ own }) => [...own])])
}

function driversOf(cell: Cell | undefined): Cell[] {
  return cell === undefined ? [] : [cell, ...driversOf(cell.step?.driver)]
}

function survivesSeal(variable: Variable): boolean {
  const spec: VariableSpec = variables[variable]
  return spec.survivesSeal ?? spec.onSpawn === 'keep'
}

function showValues(values: Values): Sight {
  return show(
    (variable) => values.has(variable),
    (variable) => (values.has(variable) ? values.get(variable) : (variables[variable] as VariableSpec).default),
  )
}
