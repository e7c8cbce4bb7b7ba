import { Model } from './model.ts'
import { printAct, printBody } from './print.ts'
import type { BodyAct, Step } from './program.ts'
import { names, type Sight } from './variables.ts'
import type { Witness } from './witness.ts'

/** Lets the model do what the package has just done, and keeps the first difference. */
export class Comparison implements Witness {
  readonly #model = new Model()
  readonly #lines: string[] = []
  #steps = 0
  #difference: string | undefined

  /** The program as it was run so far, and what differs after its last line. */
  get difference(): string | undefined {
    return this.#difference
  }

  get steps(): number {
    return this.#steps
  }

  act(step: Step, outcome: unknown): void {
    if (this.#difference !== undefined) return
    this.#steps++
    const before = this.#model.flowCount
    const expected = this.#model.act(step)
    this.#did(printAct(step), before)
    this.#compare('the step', expected, outcome)
  }

  sees(flow: number, sight: Sight): void {
    if (this.#difference === undefined) this.#compareSights(`flow ${flow}`, this.#model.see(flow), sight)
  }

  seesSnapshots(sights: readonly Sight[]): void {
    if (this.#difference !== undefined) return
    for (const [index, sight] of this.#model.snapshots.entries())
      this.#compareSights(`snapshot ${index}`, sight, sights[index])
  }

  drives(generator: number, flow: number): void {
    if (this.#difference !== undefined) return
    this.#model.drive(generator, flow)
    this.#did(`generator ${generator} goes on for flow ${flow}`)
  }

  actsInBody(generator: number, body: BodyAct, outcome: unknown): void {
    if (this.#difference !== undefined) return
    const before = this.#model.flowCount
    const expected = this.#model.actInBody(generator, body)
    this.#did(printBody(generator, body), before)
    this.#compare('the body', expected, outcome)
  }

  takesJob(worker: number): void {
    if (this.#difference !== undefined) return
    const before = this.#model.flowCount
    this.#model.takeJob(worker)
    this.#did(`worker ${worker} takes a job`, before)
  }

  returns(flow: number, outcome: unknown): void {
    if (this.#difference !== undefined) return
    this.#did(`the call returns in which flow ${flow} lives`)
    this.#compare('the call', this.#model.isOver(flow) ? 'in time' : 'LCTX_TIMEOUT', outcome)
  }

  unitEnds(flow: number): void {
    if (this.#difference !== undefined) return
    this.#did(`the unit of flow ${flow} ends`)
    this.#compare('that', undefined, this.#model.endUnit(flow))
  }

  /** All that was to end has had the time for it. */
  allHaveEnded(): void {
    for (let flow = 0; flow < this.#model.flowCount && this.#difference === undefined; flow++)
      this.#compare(`the unit of flow ${flow}`, true, this.#model.hasEnded(flow) || 'has not ended')
  }

  #did(what: string, flowsBefore = this.#model.flowCount): void {
    const begun = Array.from({ length: this.#model.flowCount - flowsBefore }, (_, index) => flowsBefore + index)
    const flows = begun.length === 0 ? '' : `, and flow ${begun.join(', ')} begins`
    this.#lines.push(`${this.#lines.length + 1}. ${what}${flows}`)
  }

  #compareSights(place: string, expected: Sight, seen: Sight | undefined): void {
    for (const name of names) this.#compare(`${place}: ${name}`, expected[name], seen?.[name])
  }

  #compare(what: string, expected: unknown, seen: unknown): void {
    if (Object.is(expected, seen)) return
    const difference = `  ${what}: ${String(expected)} in the model, ${String(seen)} in the package`
    if (this.#difference === undefined) {
      this.#difference = [...this.#lines, 'and now the two differ:', difference].join('\n')
    } else this.#difference += `\n${difference}`
  }
}
