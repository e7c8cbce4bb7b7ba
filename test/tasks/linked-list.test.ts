import { describe, expect, it } from 'vitest'
import { InFlight, Link, LinkedList } from '../../src/tasks/linked-list.ts'
import { heapAfterYoungCollection } from '../flow/memory.ts'

const three = () => ['a', 'b', 'c'].map((name) => new Link(name))

describe('LinkedList', () => {
  it('keeps the order in which items were added', () => {
    const [list, items] = [new LinkedList<Link<string>>(), three()]

    for (const item of items) list.add(item)

    expect([list.size, namesIn(list)]).toEqual([3, ['a', 'b', 'c']])
  })

  it.each([
    ['first', 0, ['b', 'c']],
    ['middle', 1, ['a', 'c']],
    ['last', 2, ['a', 'b']],
  ])('lets the %s item leave, once', (_, place, left) => {
    const [list, items] = filled()
    const leaving = items[place] as Link<string>

    list.delete(leaving)
    list.delete(leaving)

    expect([list.size, namesIn(list)]).toEqual([2, left])
    expect(items.map((item) => list.has(item))).toEqual(items.map((item) => item !== leaving))
  })

  it.each([
    ['first', 0],
    ['middle', 1],
    ['last', 2],
  ])('leads from the %s item, when it has left, to no other', (_, place) => {
    const [list, items] = filled()
    const leaving = items[place] as Link<string>

    list.delete(leaving)

    expect([leaving.before, leaving.after]).toEqual([undefined, undefined])
  })

  it('returns the items in order, without those that were deleted', () => {
    const [list, items] = filled()

    list.delete(items[0] as Link<string>)

    expect([list.shift()?.item, list.shift()?.item, list.shift(), list.size]).toEqual(['b', 'c', undefined, 0])
  })

  it('takes new items after it was empty, and those that have left', () => {
    const list = new LinkedList<Link<string>>()
    const [first, second] = three() as [Link<string>, Link<string>]
    list.add(first)
    list.delete(first)
    const whenEmpty = [list.size, list.has(first)]

    for (const item of [second, first]) list.add(item)

    expect(whenEmpty).toEqual([0, false])
    expect([list.size, namesIn(list)]).toEqual([2, ['b', 'a']])
  })

  it('shows the items of the moment, whatever leaves while they are gone through', () => {
    const [list, items] = filled()

    const seen = list.items.map(({ item }) => {
      for (const leaving of items) list.delete(leaving)
      return item
    })

    expect(seen).toEqual(['a', 'b', 'c'])
  })

  it('is collected young after an item was added and removed', async () => {
    const list = new LinkedList<Link<object>>()
    const come = () => {
      const item = new Link({ large: Array.from({ length: 20 }, () => 0) })
      list.add(item)
      return item
    }
    const going = Array.from({ length: 20 }, come)
    const before = await heapAfterYoungCollection()

    for (let count = 0; count < 20_000; count++) {
      list.delete(going[count % 20] as Link<object>)
      going[count % 20] = come()
      if (count % 500 === 0) await heapAfterYoungCollection()
    }

    // With a Set in its place: 4 MB and more.
    expect((await heapAfterYoungCollection()) - before).toBeLessThan(500_000)
  })
})

describe('InFlight', () => {
  it('resolves when nothing is under way', async () => {
    const inFlight = new InFlight<Link<string>>()
    const items = three()
    for (const item of items) inFlight.add(item)
    const events: string[] = []
    const idle = inFlight.idle().then(() => events.push('idle'))

    for (const item of items) {
      events.push('leaves')
      inFlight.delete(item)
      await Promise.resolve()
    }
    await idle

    expect(events).toEqual(['leaves', 'leaves', 'leaves', 'idle'])
  })

  it('resolves at once if nothing ever was', async () => {
    await expect(new InFlight<Link<string>>().idle()).resolves.toBeUndefined()
  })
})

function filled(): [list: LinkedList<Link<string>>, items: Link<string>[]] {
  const [list, items] = [new LinkedList<Link<string>>(), three()]
  for (const item of items) list.add(item)
  return [list, items]
}

function namesIn(list: LinkedList<Link<string>>): string[] {
  return list.items.map(({ item }) => item)
}
