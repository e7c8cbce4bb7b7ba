import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { bind, ContextVar, runInScope, spawn, TaskGroup } from 'logical-context'
import type {
  LateEvent,
  ScopeEvent,
  TaskAbandonEvent,
  TaskEndEvent,
  TaskEvent,
  TaskRefuseEvent,
} from 'logical-context/channels'
import { afterEach, describe, expect, it } from 'vitest'

const user = new ContextVar<string>('user', { survivesSeal: true })
const note = new ContextVar<string>('note')
const tick = () => new Promise<void>((resolve) => setImmediate(resolve))

const names = [
  'scope:open',
  'scope:close',
  'scope:end',
  'scope:seal',
  'task:spawn',
  'task:start',
  'task:end',
  'task:refuse',
  'task:abandon',
  'context:lost',
  'context:late',
]
const listening: [string, (message: unknown) => void][] = []

function listen(name: string, listener: (message: unknown) => void): void {
  listening.push([`logical-context:${name}`, listener])
  subscribe(`logical-context:${name}`, listener)
}

/** Each event by its name, with what was seen in the context where it was published. */
function record(): [name: string, user: string | undefined, message: unknown][] {
  const events: [string, string | undefined, unknown][] = []
  for (const name of names) listen(name, (message) => events.push([name, user.get(), message]))
  return events
}

afterEach(() => {
  for (const [name, listener] of listening.splice(0)) unsubscribe(name, listener)
})

describe('the lifecycle events', () => {
  it('publish the events of a scope and its task in order, each in its own context', async () => {
    const events = record()
    const group = new TaskGroup()

    await runInScope(
      async () => {
        user.set('ada')
        spawn(
          async () => {
            user.set('task')
            await tick()
          },
          { name: 'receipt' },
        )
        await tick()
        await tick()
      },
      { name: 'GET /', group },
    )
    await tick()

    expect(events.map(([name, seen]) => [name, seen])).toEqual([
      ['scope:open', undefined],
      ['task:spawn', 'ada'],
      ['task:start', 'ada'],
      ['scope:close', 'ada'],
      ['task:end', 'task'],
      ['scope:end', 'ada'],
      ['scope:seal', 'ada'],
    ])
    const byName = new Map(events.map(([name, , message]) => [name, message]))
    expect((byName.get('scope:open') as ScopeEvent).scope.name).toBe('GET /')
    expect((byName.get('scope:close') as ScopeEvent).scope.name).toBe('GET /')
    expect((byName.get('scope:seal') as ScopeEvent).scope.sealed).toBe(true)
    expect((byName.get('task:spawn') as TaskEvent).task.name).toBe('receipt')
    expect((byName.get('task:start') as TaskEvent).task.group).toBe(group)
    expect(byName.get('task:end') as TaskEndEvent).toMatchObject({ outcome: 'done', error: undefined })
  })

  it('have one event for a scope that is closed twice', () => {
    const events = record()

    runInScope((scope) => {
      user.set('ada')
      scope.close()
    })

    expect(events.map(([name]) => name)).toEqual(['scope:open', 'scope:close', 'scope:end', 'scope:seal'])
  })

  it('publish the end of a scope while its values can be read, and the seal after they were dropped', async () => {
    const cart = new ContextVar<string>('cart')
    const seen: unknown[] = []
    for (const name of ['scope:end', 'scope:seal']) listen(name, () => seen.push(name, cart.has()))

    await runInScope(async () => {
      await tick()
      cart.set('tea')
    })

    expect(seen).toEqual(['scope:end', true, 'scope:seal', false])
  })

  it('have the outcome of a task', async () => {
    const ends: [string, string, unknown][] = []
    listen('task:end', (message) => {
      const { task, outcome, error } = message as TaskEndEvent
      ends.push([task.name, outcome, error])
    })
    const boom = new Error('boom')
    const group = new TaskGroup({ maxConcurrent: 1, onError: () => {} })

    group.spawn(() => 1, { name: 'good' })
    group.spawn(() => Promise.reject(boom), { name: 'bad' })
    group.spawn(() => {}, { name: 'unwanted' }).abort()
    await tick()

    expect(ends).toEqual([
      ['good', 'done', undefined],
      ['unwanted', 'withdrawn', expect.objectContaining({ code: 'LCTX_CANCELLED' })],
      ['bad', 'failed', boom],
    ])
  })

  it('publish the start of a deferred task only when it begins, in its own context', async () => {
    const events = record()
    const group = new TaskGroup({ maxConcurrent: 1 })
    const open = Promise.withResolvers<void>()

    runInScope(() => {
      user.set('ada')
      group.spawn(() => open.promise)
      user.set('bob')
      group.spawn(() => {})
    })
    const before = events.filter(([name]) => name.startsWith('task')).map(([name, seen]) => [name, seen])
    events.length = 0
    open.resolve()
    await tick()

    expect(before).toEqual([
      ['task:spawn', 'ada'],
      ['task:start', 'ada'],
      ['task:spawn', 'bob'],
    ])
    expect(events.map(([name, seen]) => [name, seen])).toEqual([
      ['task:end', 'ada'],
      ['task:start', 'bob'],
      ['task:end', 'bob'],
    ])
  })

  it('publish what a group refuses', () => {
    const refused: TaskRefuseEvent[] = []
    listen('task:refuse', (message) => refused.push(message as TaskRefuseEvent))
    const group = new TaskGroup({ maxConcurrent: 1, maxQueued: 0 })
    group.spawn(() => new Promise(() => {}))

    expect(() => group.spawn(() => {}, { name: 'one too many' })).toThrow('is full')
    group.close()
    expect(() => group.spawn(() => {}, { name: 'too late' })).toThrow('is closed')

    expect(refused).toMatchObject([
      { name: 'one too many', group, error: { code: 'LCTX_GROUP_FULL' } },
      { name: 'too late', group, error: { code: 'LCTX_GROUP_CLOSED' } },
    ])
    expect(group.counters.refused).toBe(2)
  })

  it('publish the tasks that a drain abandons', async () => {
    const abandoned: TaskAbandonEvent[] = []
    listen('task:abandon', (message) => abandoned.push(message as TaskAbandonEvent))
    const group = new TaskGroup()
    const task = group.spawn(() => new Promise(() => {}))

    await group.drain({ timeoutMs: 0, graceMs: 0 })

    expect(abandoned).toMatchObject([{ error: { code: 'LCTX_ABANDONED' } }])
    expect(abandoned[0]?.task).toBe(task)
    expect(group.counters.abandoned).toBe(1)
  })

  it('publish the start and the end of a drain', async () => {
    const drains: [string, unknown][] = []
    for (const name of ['drain:start', 'drain:end']) listen(name, (message) => drains.push([name, message]))
    const group = new TaskGroup()
    group.spawn(() => new Promise(() => {}))

    await group.drain({ timeoutMs: 0, graceMs: 0 })

    expect(drains).toEqual([
      ['drain:start', { group, timeoutMs: 0 }],
      ['drain:end', { group, timeoutMs: 0, elapsedMs: expect.any(Number), reachedLimit: true }],
    ])
  })

  it('publish a context that is lost', () => {
    const events = record()

    expect(() => user.set('guest')).toThrow('outside any unit')
    expect(() => spawn(() => {})).toThrow('outside any unit')

    expect(events.filter(([name]) => name === 'context:lost').map(([, , message]) => message)).toMatchObject([
      { operation: "ContextVar 'user': set()", error: { code: 'LCTX_OUTSIDE_UNIT' } },
      { operation: 'spawn()', error: { code: 'LCTX_OUTSIDE_UNIT' } },
    ])
  })

  it('publish each late read and write, although each place is reported once', async () => {
    const events: LateEvent[] = []
    listen('context:late', (message) => events.push(message as LateEvent))
    const reports: unknown[] = []
    const late = Promise.withResolvers<void>()

    runInScope(
      () => {
        setImmediate(() => {
          for (let i = 0; i < 3; i++) note.get()
          note.set('late')
          late.resolve()
        })
      },
      { name: 'GET /', lateWrites: 'report', onLateUse: (use) => reports.push(use) },
    )
    await late.promise

    expect(events).toEqual([
      { operation: 'read', variable: 'note', unit: 'GET /' },
      { operation: 'read', variable: 'note', unit: 'GET /' },
      { operation: 'read', variable: 'note', unit: 'GET /' },
      { operation: 'write', variable: 'note', unit: 'GET /' },
    ])
    expect(reports).toMatchObject([{ operation: 'read' }, { operation: 'write' }])
  })

  it('do not go round in circles where a listener uses a variable late itself', () => {
    let told = 0
    listen('context:late', () => {
      told++
      note.get()
    })
    const counted: LateEvent[] = []

    const look = runInScope(() => bind(() => note.get()), { onLateUse: () => counted.push({} as LateEvent) })
    look()

    expect([told, counted.length]).toEqual([1, 1])
  })

  it('create no message without a subscriber', async () => {
    const group = new TaskGroup()
    const seen: unknown[] = []
    const listener = (message: unknown) => seen.push(message)
    subscribe('logical-context:task:end', listener)
    unsubscribe('logical-context:task:end', listener)

    await group.spawn(() => 1).result()

    expect(seen).toEqual([])
  })
})
