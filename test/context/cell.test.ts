import { inspect } from 'node:util'
import { bind, ContextVar, current, runInScope } from 'logical-context'
import { describe, expect, it } from 'vitest'
import type { Cell } from '../../src/context/cell.ts'
import { storage } from '../../src/context/storage.ts'

const user = new ContextVar<string>('user')
const tenant = new ContextVar<string>('tenant')

describe('a cell', () => {
  it('copies no values for a snapshot, and copies them for the first write after it', () => {
    const seen = runInScope(() => {
      user.set('ada')
      tenant.set('acme')
      const [first, second] = [current().toValues(), current().toValues()]
      user.set('grace')
      return [first === second, first === current().toValues()]
    })

    expect(seen).toEqual([true, false])
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

  it('of a block that begins after the end of its unit is not kept', () => {
    const late = runInScope(() => bind(() => user.run('late', currentCell)))

    expect(late().siblings).toBe(undefined)
  })

  it('of a block does not keep the other blocks after the end of the unit', () => {
    const block = runInScope(() => user.run('ada', currentCell))

    expect(block.siblings).toBe(undefined)
  })

  it('shows none of its values, printed or as JSON', () => {
    const cell = user.run('hunter2', currentCell)

    expect([inspect(cell), JSON.stringify({ cell })]).toEqual(['Cell', '{"cell":"Cell"}'])
  })
})

function currentCell(): Cell {
  const cell = storage.getStore()?.base
  if (cell === undefined) throw new Error('There is no cell here.')
  return cell
}
