import { ContextVar, current, isolateGenerator, LogicalContext, run, runInScope, spawn } from 'logical-context'
import { describe, expect, it } from 'vitest'
import {
  copyFor,
  emptyValues,
  overlay,
  put,
  read,
  ruledOf,
  type Slot,
  survivorsOf,
  write,
} from '../../src/context/values.ts'
import { cross } from '../../src/tasks/policy.ts'
import { heapInUse } from '../flow/memory.ts'

// More than the 32 that the array holds itself, so that the tree is used.
const many = Array.from(
  { length: 10_000 },
  (_, index) => new ContextVar<number | undefined, string>(`v${index}`, { default: 'unset' }),
)
const [first, last] = [variable(0), variable(9_999)]

describe('ten thousand variables', () => {
  it('hold a value each', () => {
    const seen = runInScope(() => {
      for (const [index, variable] of many.entries()) variable.set(index)
      return many.map((variable) => variable.get())
    })

    expect(seen).toEqual(Array.from(many.keys()))
  })

  it('are read in a snapshot, and shown by name', () => {
    const context = runInScope(() => {
      for (const [index, variable] of many.entries()) variable.set(index)
      return current()
    })

    expect(many.map((variable) => context.get(variable))).toEqual(Array.from(many.keys()))
    expect(String(context)).toBe(`LogicalContext(${many.map(({ name }) => name).join(', ')})`)
  })

  it('go into a task together, and apart again', async () => {
    const seen = await runInScope(async () => {
      for (const [index, variable] of many.entries()) variable.set(index)
      const written = Promise.withResolvers<void>()
      const task = spawn(async () => {
        await written.promise
        last.set(-1)
        return [first.get(), last.get()]
      })
      first.set(-2)
      written.resolve()
      return { task: await task.result(), spawner: [first.get(), last.get()] }
    })

    expect(seen).toEqual({ task: [0, -1], spawner: [-2, 9_999] })
  })

  it('cost a write the copy of a path, not of all of them', () => {
    const context = many.reduce((context, variable, index) => context.with(variable, index), LogicalContext.empty)
    const other = context.with(last, -1)
    const nodes = new Set(nodesOf(context.toValues()))

    expect(nodesOf(other.toValues()).filter((node) => !nodes.has(node)).length).toBeLessThanOrEqual(5)
    expect([context.get(last), other.get(last), other.get(first)]).toEqual([9_999, -1, 0])
  })

  it.each<[name: string, index: number]>([
    ['the first of a node', 32 * 40],
    ['the last of a node', 32 * 40 - 1],
    ['the first of a bigger node', 1024 * 3],
    ['the last of a bigger node', 1024 * 3 - 1],
    ['the last', 9_999],
  ])('hold undefined, an absence and a value apart: %s', (_, index) => {
    const { set, get, has } = operations(variable(index))

    const seen = runInScope(() => [get(), has(), set(undefined), get(), has(), variable(index).delete(), get(), has()])

    expect(seen).toEqual(['unset', false, undefined, undefined, true, true, 'unset', false])
  })

  it('are seen through a generator’s layer that has set their neighbours', () => {
    const [driven, own] = [variable(5_000), variable(5_001)]
    const generator = isolateGenerator(function* () {
      own.set(2)
      yield [driven.get(), own.get(), current().get(driven), current().get(own)]
    })()

    const seen = runInScope(() => {
      driven.set(1)
      return [generator.next().value, own.get()]
    })

    expect(seen).toEqual([[1, 2, 1, 2], 'unset'])
  })

  it('are overridden and restored', () => {
    const seen = runInScope(() => {
      const during: unknown[] = []
      {
        using _ = last.override(1)
        during.push(last.get())
      }
      return [...during, last.get(), last.has()]
    })

    expect(seen).toEqual([1, 'unset', false])
  })

  it('keep what is written in a run of a snapshot out of it', () => {
    const context = LogicalContext.empty.with(last, 1)

    const inside = run(context, () => {
      last.set(2)
      return last.get()
    })

    expect([inside, context.get(last)]).toEqual([2, 1])
  })
})

describe('variables with rules among ten thousand', () => {
  it('cross a spawn by their rules', async () => {
    const kept = new ContextVar<string>('kept', { onSpawn: 'keep' })
    const dropped = new ContextVar<string>('dropped', { onSpawn: 'drop' })
    const derived = new ContextVar<string>('derived', { onSpawn: (value) => `${value}'` })
    const read = () => [last.get(), kept.get(), dropped.get(), derived.get()]

    const seen = await runInScope(async () => {
      last.set(1)
      kept.set('kept')
      dropped.set('dropped')
      derived.set('derived')
      const tasks = [
        spawn(read),
        spawn(read, { policy: 'isolate' }),
        spawn(read, { policy: { only: [last] } }),
        spawn(read, { policy: 'share' }),
      ]
      return Promise.all(tasks.map((task) => task.result()))
    })

    expect(seen).toEqual([
      [1, 'kept', undefined, "derived'"],
      ['unset', 'kept', undefined, "derived'"],
      [1, 'kept', undefined, "derived'"],
      [1, 'kept', 'dropped', 'derived'],
    ])
  })

  it('survive the seal', () => {
    const survivors = Array.from(
      { length: 100 },
      (_, index) => new ContextVar<number>(`s${index}`, { survivesSeal: true }),
    )

    const scope = runInScope((scope) => {
      last.set(1)
      for (const [index, survivor] of survivors.entries()) survivor.set(index)
      survivors[7]?.delete()
      return scope
    })

    expect(survivors.map((survivor) => scope.context.get(survivor))).toEqual(
      survivors.map((_, index) => (index === 7 ? undefined : index)),
    )
    expect(scope.context.has(last)).toBe(false)
  })
})

function variable(index: number) {
  const found = many[index]
  if (found === undefined) throw new RangeError(`There is no variable ${index}.`)
  return found
}

function operations(variable: ContextVar<number | undefined, string>) {
  return {
    set: (value: number | undefined) => variable.set(value),
    get: () => variable.get(),
    has: () => variable.has(),
  }
}

/** All arrays that a context is made of. */
function nodesOf(node: unknown): unknown[] {
  return Array.isArray(node) ? [node, ...node.flatMap(nodesOf)] : []
}

describe('values', () => {
  it.each([2, 31, 32, 33, 63, 64, 1023, 1024, 2 ** 20, 2 ** 20 + 2 ** 15, 2 ** 21])(
    'hold a value at index %i',
    (index) => {
      const near = put(put([...emptyValues], index - 1, 'before'), index, 'at')
      const values = put(near, index + 2 ** 20, 'far away')

      expect([index - 1, index, index + 1].map((place) => read(values, place))).toEqual(['before', 'at', undefined])
    },
  )

  it('show through where a layer above them has none', () => {
    const base = put([...emptyValues], 5, 'base')
    const layer = put([...emptyValues], 9, 'layer')

    expect([5, 9].map((index) => read(overlay(base, layer), index))).toEqual(['base', 'layer'])
    expect([base.length, layer.length]).toEqual([6, 10])
  })

  it('are written in place where the variable has one', () => {
    const values = put([...emptyValues], 5, 'a')

    expect(put(values, 4, 'b')).toBe(values)
    expect(write(values, { index: 5, ruled: false, survivesSeal: false }, 'c')).toBe(values)
    expect(values.slice(4)).toEqual(['b', 'c'])
  })
})

describe('copyFor', () => {
  const values = [undefined, undefined, 'a', 'b']

  it.each<[name: string, index: number, places: number]>([
    ['one that exists', 3, 4],
    ['the one after the last', 4, 5],
    ['one further on', 9, 10],
    ['the last of the array', 31, 32],
    ['the first of the tree, for which the array needs none', 32, 4],
    ['one far out in the tree', 5_000, 4],
  ])('has as many places as the write needs of %s', (_name, index, places) => {
    const copy = copyFor(values, { index, ruled: false, survivesSeal: false })

    expect(copy).toStrictEqual([...values, ...Array<undefined>(places - values.length).fill(undefined)])
    expect(copy).not.toBe(values)
    expect(values).toHaveLength(4)
  })
})

describe('the list of variables with rules', () => {
  const [a, b] = [ruled(8), ruled(9)]

  it('is one for all who set the same in the same order', () => {
    const lists = [written(a, b), written(a, b), written(a)].map(ruledOf)

    expect(lists[1]).toBe(lists[0])
    expect(lists[2]).toBe(lists[0]?.rest)
  })

  it('is another in another order, and after that what it was', () => {
    const slots = [written(a, b), written(b, a), written(b), written(a, b)].map((values) => {
      const rest = ruledOf(values)
      return [rest?.slot, rest?.rest?.slot, rest?.rest?.rest]
    })

    expect(slots).toEqual([
      [b, a, undefined],
      [a, b, undefined],
      [b, undefined, undefined],
      [b, a, undefined],
    ])
  })
})

describe('survivorsOf', () => {
  it('is the one empty array for all units that leave nothing', () => {
    const values = written({ index: 5, ruled: false, survivesSeal: false })

    expect([values.length, survivorsOf(values)]).toEqual([6, emptyValues])
    expect(survivorsOf(values)).toBe(emptyValues)
  })
})

describe('no room for more values is kept by', () => {
  // A place in the array itself, whatever other variables there are.
  const slot = { ...ruled(5), onSpawn: 'keep' }
  const values = written(slot)

  it.each<[name: string, make: () => unknown]>([
    ['a copy that has grown', () => copyFor(emptyValues, slot)],
    ['values that have grown', () => put([...emptyValues], slot.index, 'a')],
    ['the values of a unit that has ended', () => survivorsOf(values)],
    ['the values of an isolated task', () => cross(values, 'isolate')],
    ['the values of a task that sees only some', () => cross(values, { only: [] })],
  ])('%s', { timeout: 60_000, retry: 2 }, async (_, make) => {
    const count = 10_000
    const held = Array.from({ length: count }, make)
    const before = await heapInUse()

    held.push(...Array.from({ length: count }, make))

    // An array of six places is 96 bytes, one that has grown 208; and 8 for the place in which it is held.
    expect(((await heapInUse()) - before) / count).toBeLessThan(140)
    expect(held).toHaveLength(2 * count)
  })
})

function ruled(index: number): Slot {
  return { index, ruled: true, survivesSeal: true }
}

function written(...slots: Slot[]): unknown[] {
  return slots.reduce((values, slot) => write(values, slot, slot.index), [...emptyValues])
}
