// The rules of section 3 of the design, as plainly as they can be written: values are a Map that is copied whenever
// somebody else gets it, a cell is an object that holds one, and who sees which cell is said by hand. No
// AsyncLocalStorage, no sharing, nothing fast.
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

/** Deleted in a layer: the driver's value is hidden. */
const deleted = Symbol('deleted')

type Values = Map<Variable, Value | typeof deleted>

interface Cell {
  own: Values
  unit: Unit | undefined
  /** Of a generator's layer: who drives it. */
  driver: Cell | undefined
  sealed: boolean
}

interface Unit {
  ended: boolean
}

interface Flow {
  /** Undefined outside any unit and block. */
  readonly cell: Cell | undefined
  /** The unit that ends with this flow. */
  readonly ends: Unit | undefined
  over: boolean
}

interface Generator {
  layer: Cell
}

interface Override {
  readonly cell: Cell
  readonly variable: Variable
  /** A cell of the same unit, so that what it gives back ends with that too. */
  readonly before: Cell
  over: boolean
}

export class Model {
  readonly #cells: Cell[] = []
  readonly #flows: Flow[] = [{ cell: undefined, ends: undefined, over: false }]
  readonly #snapshots: Values[] = []
  readonly #bounds: { readonly cell: Cell | undefined }[] = []
  readonly #overrides: Override[] = []
  readonly #generators: Generator[] = []

  do(step: Step): Sight {
    const flow = pick(this.#flows, step.flow)
    const outcome = flow === undefined || flow.over ? 'nobody is there' : this.#act(flow, step)
    return {
      outcome,
      flows: this.#flows.map((flow) => (flow.over ? 'over' : show(visible(flow.cell)))),
      snapshots: this.#snapshots.map(show),
    }
  }

  #act(flow: Flow, step: Step): unknown {
    const { cell } = flow
    switch (step.does) {
      // Rule 1: a write is seen by all flows of the cell. Rules 9 and 10: not after the end, not outside.
      case 'set':
        return writing(cell, (own) => own.set(step.variable, step.value))
      case 'delete':
        return deleteIn(cell, step.variable)
      case 'override':
        return writing(cell, (own, cell) => {
          const { variable } = step
          const before = new Map([...own].filter(([set]) => set === variable))
          this.#overrides.push({ cell, variable, before: this.#cell(before, cell.unit), over: false })
          own.set(variable, step.value)
        })
      case 'restore':
        return this.#restore(step.override)
      case 'go on':
        return this.#flow(cell)
      // Rule 6: a block has a cell of its own, which starts from what is visible.
      case 'block': {
        const block = this.#cell(visible(cell), cell?.unit)
        block.own.set(step.variable, step.value)
        return this.#flow(block)
      }
      case 'capture':
        this.#snapshots.push(visible(cell))
        return undefined
      case 'run': {
        const snapshot = pick(this.#snapshots, step.snapshot)
        return snapshot && this.#flow(this.#cell(snapshot, cell?.unit))
      }
      // Rule 11: whoever calls it, what was bound is in the cell of who has bound it.
      case 'bind':
        this.#bounds.push({ cell })
        return undefined
      case 'call bound': {
        const bound = pick(this.#bounds, step.bound)
        return bound && this.#flow(bound.cell)
      }
      case 'spawn':
        return this.#spawn(cell, step.policy)
      // Rule 10: a unit inside a unit starts fresh.
      case 'open a unit': {
        const unit = { ended: false }
        return this.#flow(this.#cell(new Map(), unit), unit)
      }
      case 'end':
        return this.#end(flow)
      case 'make a generator':
        this.#generators.push({ layer: this.#cell(new Map(), undefined) })
        return undefined
      case 'step a generator': {
        const generator = pick(this.#generators, step.generator)
        return generator && this.#step(generator, cell, step.body)
      }
      default:
        return step satisfies never
    }
  }

  /** Rules 2 to 5, and 8: any task can spawn, for its cell has a unit. */
  #spawn(cell: Cell | undefined, policy: PolicySpec): unknown {
    if (cell?.unit === undefined) return 'LCTX_OUTSIDE_UNIT'
    const unit = { ended: false }
    if (policy === 'share') return this.#flow(cell, unit)
    return this.#flow(this.#cell(cross(visible(cell), policy), unit), unit)
  }

  /** Rule 9: with the unit all its cells are sealed, and hold no more than what survives. */
  #end(flow: Flow): unknown {
    const { ends: unit } = flow
    if (unit === undefined) return 'has no end'
    flow.over = true
    unit.ended = true
    for (const cell of this.#cells) {
      if (cell.unit !== unit || cell.sealed) continue
      cell.own = new Map([...visible(cell)].filter(([variable]) => survivesSeal(variable)))
      cell.driver = undefined
      cell.sealed = true
    }
    return 'ended'
  }

  /** Rule 7: the body writes to its layer, and sees its driver's values behind that. */
  #step(generator: Generator, driver: Cell | undefined, body: BodyAct): unknown {
    if (generator.layer.sealed) generator.layer = this.#cell(new Map(), undefined)
    const { layer } = generator
    if (!driversOf(driver).includes(layer)) {
      layer.driver = driver
      layer.unit = driver?.unit
    }
    if (body.act === 'set') return writing(layer, (own) => own.set(body.variable, body.value))
    if (body.act === 'delete') return deleteIn(layer, body.variable)
    return this.#flow(layer)
  }

  #restore(which: number): unknown {
    const override = pick(this.#overrides, which)
    if (override === undefined || override.over) return undefined
    override.over = true
    const { cell, variable, before } = override
    if (cell.sealed) return undefined
    cell.own.delete(variable)
    for (const [set, value] of before.own) cell.own.set(set, value)
    return undefined
  }

  #cell(values: Values, unit: Unit | undefined): Cell {
    const cell: Cell = { own: new Map(values), unit, driver: undefined, sealed: false }
    // What begins after the end of its unit ends with nobody.
    if (unit?.ended !== true) this.#cells.push(cell)
    return cell
  }

  #flow(cell: Cell | undefined, ends?: Unit): undefined {
    this.#flows.push({ cell, ends, over: false })
  }
}

/** What a task sees of what its spawner sees. A variable's own rule stands above the policy. */
function cross(values: Values, policy: Exclude<PolicySpec, 'share'>): Values {
  const crossed: Values = new Map()
  for (const [variable, value] of values) {
    const { onSpawn }: VariableSpec = variables[variable]
    if (onSpawn === 'drop') continue
    if (onSpawn === 'derive') crossed.set(variable, `${String(value)}'`)
    else if (onSpawn === 'keep' || policy === 'inherit') crossed.set(variable, value)
    else if (policy !== 'isolate' && policy.only.includes(variable)) crossed.set(variable, value)
  }
  return crossed
}

/** What the code in a cell sees, as a copy. */
function visible(cell: Cell | undefined): Values {
  if (cell === undefined) return new Map()
  const values = visible(cell.driver)
  for (const [variable, value] of cell.own) {
    if (value === deleted) values.delete(variable)
    else values.set(variable, value)
  }
  return values
}

function writing(cell: Cell | undefined, write: (own: Values, cell: Cell) => void): unknown {
  if (cell === undefined) return 'LCTX_OUTSIDE_UNIT'
  if (cell.sealed) return 'LCTX_LATE_WRITE'
  write(cell.own, cell)
  return undefined
}

function deleteIn(cell: Cell | undefined, variable: Variable): unknown {
  const present = visible(cell).has(variable)
  return writing(cell, (own) => own.set(variable, deleted)) ?? present
}

function driversOf(cell: Cell | undefined): Cell[] {
  return cell === undefined ? [] : [cell, ...driversOf(cell.driver)]
}

function survivesSeal(variable: Variable): boolean {
  const spec: VariableSpec = variables[variable]
  return spec.survivesSeal ?? spec.onSpawn === 'keep'
}

function show(values: Values): unknown {
  const defaultOf = (variable: Variable) => (variables[variable] as VariableSpec).default
  return Object.fromEntries(
    names.map((variable) => [
      variable,
      values.has(variable) ? ['set', values.get(variable)] : ['default', defaultOf(variable)],
    ]),
  )
}
