import { inspect } from 'node:util'
import { TaskGroup } from 'logical-context'
import { describe, expect, it } from 'vitest'

describe("a group's tasks", () => {
  it('are a set that is always up to date', async () => {
    const [group, other] = [new TaskGroup(), new TaskGroup()]
    const { tasks } = group
    const [first, second] = [stuck(group), stuck(group)]
    const [elsewhere, behind] = [stuck(other), stuck(other)]

    const during = [tasks.size, ...[first, second, elsewhere, behind].map(({ task }) => tasks.has(task))]
    first.end()
    await first.task.result()
    const after = [tasks.size, ...[first, second, elsewhere, behind].map(({ task }) => tasks.has(task))]

    expect(during).toEqual([2, true, true, false, false])
    expect(after).toEqual([1, false, true, false, false])
    for (const { end } of [second, elsewhere, behind]) end()
  })

  it('are gone through in the order of their spawning, those that were there at the beginning', () => {
    const group = new TaskGroup()
    const spawned = [stuck(group), stuck(group)].map(({ task }) => task)

    const seen = Array.from(group.tasks, (task) => {
      group.spawn(() => {})
      return task
    })
    const visited: unknown[] = []
    group.tasks.forEach((task, same, set) => visited.push([task, same, set]))

    expect(seen).toEqual(spawned)
    expect(visited).toEqual(spawned.map((task) => [task, task, group.tasks]))
    expect([[...group.tasks.keys()], [...group.tasks.values()]]).toEqual([spawned, spawned])
    expect([...group.tasks.entries()]).toEqual(spawned.map((task) => [task, task]))
  })

  it('are shown as a set', () => {
    const group = new TaskGroup()
    const { task } = stuck(group)

    expect(inspect(group.tasks)).toBe(inspect(new Set([task])))
  })
})

function stuck(group: TaskGroup) {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { task: group.spawn(() => promise, { name: 'stuck' }), end: resolve }
}
