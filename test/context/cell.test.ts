import { inspect } from 'node:util'
import { bind, ContextVar, current, isolateGenerator, runInScope } from 'logical-context'
import { describe, expect, it } from 'vitest'
import type { Cell } from '../../src/context/cell.ts'
import { storage } from '../../src/context/storage.ts'

const user = new ContextVar<string>('user')
const tenant = new ContextVar<string>('tenant')

describe('a cell', () => {
  it('copies its values once for all writes after a fork, and not at all for the fork', () => {
    const seen = runInScope(() => {
      user.set('ada')
      tenant.set('acme')
      const before = currentCell().values
      user.set('grace')
      tenant.set('initech')
      const afterWrites = currentCell().values
      const forked = current().values
      user.set('barbara')
      const afterFork = currentCell().values
      tenant.set('globex')
      return [afterWrites === before, forked === before, afterFork === before, currentCell().values === afterFork]
    })

    expect(seen).toEqual([true, true, false, true])
  })

  it('drops what was derived from its values with each write, and at its end', () => {
    const { cell, afterWrite } = runInScope(() => {
      const cell = currentCell()
      cell.memo = 'derived'
      user.set('ada')
      const afterWrite = cell.memo
      cell.memo = 'derived'
      return { cell, afterWrite }
    })

    expect([afterWrite, cell.memo]).toEqual([undefined, undefined])
  })

  it('stays sealed when a snapshot is taken of what is left', () => {
    const late = runInScope(() =>
      bind(() => {
        current()
        user.set('late')
      }),
    )

    expect(late).toThrow(expect.objectContaining({ code: 'LCTX_LATE_WRITE' }))
  })

  it('of a block that begins after its unit’s end is held by nobody', () => {
    const late = runInScope(() => bind(() => user.run('late', currentCell)))

    expect(late().siblings).toBe(undefined)
  })

  it('is let go by its driver’s end, and by its siblings', () => {
    const cells = runInScope(() => {
      const generator = isolateGenerator(function* () {
        yield currentCell()
      })()
      return [generator.next().value as Cell, user.run('ada', currentCell)]
    })

    expect(cells.map(({ driver, siblings }) => [driver, siblings])).toEqual([
      [undefined, undefined],
      [undefined, undefined],
    ])
  })

  it('shows none of its values, printed or as JSON', () => {
    const cell = user.run('hunter2', currentCell)

    expect([inspect(cell), JSON.stringify({ cell })]).toEqual(['Cell', '{"cell":"Cell"}'])
  })
})

function currentCell(): Cell {
  const cell = storage.getStore()
  if (cell === undefined) throw new Error('There is no cell here.')
  return cell
}
