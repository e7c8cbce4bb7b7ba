import type { Figure } from './row.ts'

/** What was measured of each side: the figures of one place of two sides' lists were measured one after the other. */
export class Samples {
  readonly #lists = new Map<string, number[]>()

  add(side: string, figure: Figure, value: number): void {
    const key = `${side}\n${figure}`
    const list = this.#lists.get(key)
    if (list === undefined) this.#lists.set(key, [value])
    else list.push(value)
  }

  of(side: string, figure: Figure): readonly number[] {
    return this.#lists.get(`${side}\n${figure}`) ?? []
  }
}
