import type { Figure } from './row.ts'

/** The figures of each side. Figures at the same index of two sides were measured one after the other. */
export class Samples {
  readonly #lists = new Map<string, number[]>()

  add(side: string, figure: Figure, value: number): void {
    const key = `${side}\n${figure}`
    const list = this.#lists.get(key)
    if (list === undefined) this.#lists.set(key, [value])
    else list.push(value)
  }

  addAll(samples: Samples): void {
    for (const [key, list] of samples.#lists) this.#lists.set(key, [...(this.#lists.get(key) ?? []), ...list])
  }

  of(side: string, figure: Figure): readonly number[] {
    return this.#lists.get(`${side}\n${figure}`) ?? []
  }
}
