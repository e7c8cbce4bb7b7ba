import { runInScope, spawn, TaskGroup } from 'logical-context'
import { afterEach, describe, expect, it } from 'vitest'
import { observer, type UnitObservation } from '../../src/tasks/lifecycle.ts'

const boom = new Error('boom')
const never = () => new Promise<never>(() => {})

/** Observes all units, and notes what it is told. */
function observe(): unknown[] {
  const events: unknown[] = []
  const observationOf = (name: string): UnitObservation => ({
    around: (work) => {
      events.push(`${name} enters`)
      const result = work()
      events.push(`${name} leaves`)
      return result
    },
    failed: (error) => events.push([`${name} fails`, error]),
    abandoned: (error) => events.push([`${name} is abandoned`, (error as { code?: unknown }).code]),
    ended: (outcome, error) => events.push([`${name} has ended`, outcome, error]),
  })
  observer.current = {
    opened: (scope) => observationOf(scope.name),
    spawned: (task) => observationOf(task.name),
  }
  return events
}

/** Observes all units with no more than it must. */
function observeLittle(): void {
  const observation: UnitObservation = { around: (work) => work(), ended: () => {} }
  observer.current = { opened: () => observation, spawned: () => observation }
}

afterEach(() => {
  observer.current = undefined
})

describe('an observer of units', () => {
  it('stands around what enters a scope from outside, and around a task', async () => {
    const events = observe()

    const value = await runInScope(
      (scope) => {
        scope.run(() => events.push('inside'))
        return spawn(() => 7, { name: 'task' }).result()
      },
      { name: 'scope' },
    )

    expect(value).toBe(7)
    expect(events).toEqual([
      'scope enters',
      'inside',
      'task enters',
      ['task has ended', 'done', 7],
      'task leaves',
      'scope leaves',
      ['scope has ended', 'done', undefined],
    ])
  })

  it('is told what fails in a scope, at once or later', async () => {
    const events = observe()
    const fail = () => {
      throw boom
    }

    expect(() => runInScope(fail, { name: 'sync' })).toThrow(boom)
    await expect(runInScope(async () => fail(), { name: 'async' })).rejects.toBe(boom)

    expect(events).toEqual([
      'sync enters',
      ['sync fails', boom],
      ['sync has ended', 'done', undefined],
      'async enters',
      'async leaves',
      ['async fails', boom],
      ['async has ended', 'done', undefined],
    ])
  })

  it('is told what has become of a task', async () => {
    const events = observe()
    const group = new TaskGroup({ maxConcurrent: 1, onError: () => {} })

    group.spawn(
      () => {
        group.spawn(never, { name: 'unwanted' }).abort()
        throw boom
      },
      { name: 'failing' },
    )
    group.spawn(never, { name: 'deaf' })
    await group.drain({ timeoutMs: 0, graceMs: 0 })

    expect(events).toEqual([
      'failing enters',
      ['unwanted has ended', 'withdrawn', expect.objectContaining({ code: 'LCTX_CANCELLED' })],
      ['failing has ended', 'failed', boom],
      'failing leaves',
      'deaf enters',
      'deaf leaves',
      ['deaf is abandoned', 'LCTX_ABANDONED'],
    ])
  })

  it('need not listen to all of that', async () => {
    observeLittle()
    const group = new TaskGroup()
    const fail = () => {
      throw boom
    }

    expect(() => runInScope(fail)).toThrow(boom)
    await expect(runInScope(async () => fail())).rejects.toBe(boom)
    group.spawn(never)
    await group.drain({ timeoutMs: 0, graceMs: 0 })

    expect(group.counters.abandoned).toBe(1)
  })

  it('hears no more of a scope that has closed itself', () => {
    const events = observe()
    expect(() =>
      runInScope(
        (scope) => {
          scope.close()
          throw boom
        },
        { name: 'scope' },
      ),
    ).toThrow(boom)

    expect(events).toEqual(['scope enters', ['scope has ended', 'done', undefined]])
  })
})
