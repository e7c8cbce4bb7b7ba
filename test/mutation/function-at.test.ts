import { describe, expect, it } from 'vitest'
import { functionAt } from './function-at.ts'

const source = `import { b } from './b.ts'

export const limit = 5

export class Cell {
  readonly values = []

  get sealed(): boolean {
    return check(
      this,
    )
  }

  async #seal() {
    this.values = b
  }
}
mark(Cell)

export async function read(cell: Cell) {
  mark(cell)
  return cell
}
`

describe('functionAt', () => {
  it.each([
    [1, ''],
    [3, 'limit'],
    [6, 'Cell.values'],
    [8, 'Cell.sealed'],
    [10, 'Cell.sealed'],
    [15, 'Cell.#seal'],
    [18, ''],
    [22, 'read'],
  ])('names the declaration around line %i: "%s"', (line, name) => {
    expect(functionAt(source, line)).toBe(name)
  })
})
