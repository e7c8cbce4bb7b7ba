import { ContextVar, runInScope, spawn, type Task, TaskGroup } from 'logical-context'
import { describe, expect, it, vi } from 'vitest'

const user = new ContextVar<string>('user')

describe('TaskGroup', () => {
  it('has a name and a policy, where they are given', () => {
    const [plain, named] = [new TaskGroup(), new TaskGroup({ name: 'mail', policy: 'isolate' })]

    expect([plain.name, plain.policy, named.name, named.policy]).toEqual(['tasks', undefined, 'mail', 'isolate'])
  })

  it('has its tasks in the order of their spawning, without those that ended', async () => {
    const group = new TaskGroup()
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const tasks = gates.map(({ promise }) => group.spawn(() => promise))
    group.spawn(() => 'ends at once')

    const before = [...group.tasks]
    gates[0]?.resolve()
    await tasks[0]?.result()
    const after = [...group.tasks]

    expect(before).toEqual(tasks)
    expect(after).toEqual([tasks[1]])
  })

  it('has a task while the task begins', () => {
    const group = new TaskGroup()

    group.spawn((task) => {
      expect([...group.tasks]).toEqual([task])
    })
  })

  it('spawns outside any unit too: the task starts with nothing, and is a unit itself', async () => {
    const group = new TaskGroup()

    const task = group.spawn(async () => {
      const before = user.get()
      user.set('task’s')
      return [before, user.get(), await spawn(() => user.get()).result()]
    })

    expect(await task.result()).toEqual([undefined, 'task’s', 'task’s'])
  })

  it('spawns in a block outside any unit with the block’s values', () => {
    const group = new TaskGroup()

    const task = user.run('ada', () => group.spawn(() => user.get()))

    return expect(task.result()).resolves.toBe('ada')
  })

  it('leaves what its tasks spawn themselves to the group of the unit they come from', async () => {
    const [background, mail] = [new TaskGroup({ name: 'background' }), new TaskGroup({ name: 'mail' })]
    const gate = Promise.withResolvers<void>()

    runInScope(() => mail.spawn(() => spawn(() => gate.promise, { name: 'child' })), { group: background })
    const owners = [namesIn(background), namesIn(mail)]
    gate.resolve()
    await background.drain()

    expect(owners).toEqual([['child'], []])
  })

  it('owns what its tasks spawn where they come from no unit', async () => {
    const mail = new TaskGroup({ name: 'mail' })
    const gate = Promise.withResolvers<void>()

    mail.spawn(() => spawn(() => gate.promise, { name: 'child' }))
    const owned = namesIn(mail)
    gate.resolve()
    await mail.drain()

    expect(owned).toEqual(['child'])
  })

  it('takes no tasks any more when it is closed, and runs on what it has', async () => {
    const group = new TaskGroup({ name: 'mail' })
    const gate = Promise.withResolvers<string>()
    const running = group.spawn(() => gate.promise)

    group.close()
    group.close()
    const fn = vi.fn()

    expect(() => group.spawn(fn, { name: 'sendReceipt' })).toThrow(
      expect.objectContaining({
        code: 'LCTX_GROUP_CLOSED',
        message: expect.stringMatching(/'sendReceipt'.*'mail', which is closed\./),
      }),
    )
    expect(fn).not.toHaveBeenCalled()
    gate.resolve('still there')
    expect(await running.result()).toBe('still there')
  })

  it.each<[name: string, options: object, message: RegExp]>([
    ['an unknown option', { limit: 3 }, /^TaskGroup: unknown option 'limit', expected one of: name, policy, onError/],
    ['an empty name', { name: '' }, /^TaskGroup: option 'name' expected a string of at least one character, got ''/],
    ['an onError of text', { onError: 'log' }, /^TaskGroup: option 'onError' expected a function, got 'log'/],
    ['a list', [], /^TaskGroup: expected an options object, got \[\]/],
  ])('refuses %s', (_, options, message) => {
    expect(() => new TaskGroup(options)).toThrow(TypeError)
    expect(() => new TaskGroup(options)).toThrow(message)
  })

  it.each<[name: string, fn: unknown, options: unknown, message: RegExp]>([
    ['no function', undefined, {}, /^spawn: expected a function or a promise, got undefined/],
    [
      'an unknown option',
      () => {},
      { polcy: 'share' },
      /^spawn: unknown option 'polcy', expected one of: name, policy/,
    ],
    ['a name of null', () => {}, { name: null }, /^spawn: option 'name' expected a string/],
    [
      'a cancelWith of text',
      () => {},
      { cancelWith: 'reply' },
      /^spawn: option 'cancelWith' expected 'request' or an Ab/,
    ],
    [
      'a controller for a signal',
      () => {},
      { cancelWith: new AbortController() },
      /expected 'request' or an AbortSignal/,
    ],
    ['null for options', () => {}, null, /^spawn: expected an options object, got null/],
  ])('spawns nothing with %s', (_, fn, options, message) => {
    const group = new TaskGroup()

    expect(() => group.spawn(fn as () => void, options as object)).toThrow(TypeError)
    expect(() => group.spawn(fn as () => void, options as object)).toThrow(message)
    expect(group.tasks.length).toBe(0)
  })

  it('takes an option that is undefined for one that is not there', () => {
    const group = new TaskGroup({ name: undefined, policy: undefined, onError: undefined })

    const task = group.spawn(() => 7, { name: undefined, policy: undefined, cancelWith: undefined })

    expect([group.name, task.name, task.policy]).toEqual(['tasks', 'task', 'inherit'])
  })
})

function namesIn(group: TaskGroup): string[] {
  return Array.from(group.tasks, (task: Task) => task.name)
}
