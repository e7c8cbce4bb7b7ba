import { runInScope, spawn, type Task, TaskGroup } from 'logical-context'
import { afterEach, describe, expect, it } from 'vitest'
import { bridge, type UnitObservation } from '../../src/context/bridge.ts'
import type { RequestScope } from '../../src/tasks/request-scope.ts'

const boom = new Error('boom')
const never = () => new Promise<never>(() => {})

/** Observes all units and returns the list of events. */
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
    ended: (outcome, error) => events.push([`${name} ended`, outcome, error]),
  })
  bridge.current = {
    opened: (scope) => observationOf((scope as RequestScope).name),
    spawned: (task) => observationOf((task as Task).name),
    trace: (known) => known,
  }
  return events
}

/** Observes all units with the required methods only. */
function observeLittle(): void {
  const observation: UnitObservation = { around: (work) => work(), ended: () => {} }
  bridge.current = { opened: () => observation, spawned: () => observation, trace: (known) => known }
}

afterEach(() => {
  bridge.current = undefined
})

describe('the bridge', () => {
  it('wraps the work that enters a scope from outside, and the work of a task', async () => {
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
      ['task ended', 'done', 7],
      'task leaves',
      'scope leaves',
      ['scope ended', 'done', undefined],
    ])
  })

  it('is called for a failure in a scope, at once or later', async () => {
    const events = observe()
    const fail = () => {
      throw boom
    }

    expect(() => runInScope(fail, { name: 'sync' })).toThrow(boom)
    await expect(runInScope(async () => fail(), { name: 'async' })).rejects.toBe(boom)

    expect(events).toEqual([
      'sync enters',
      ['sync fails', boom],
      ['sync ended', 'done', undefined],
      'async enters',
      'async leaves',
      ['async fails', boom],
      ['async ended', 'done', undefined],
    ])
  })

  it('is called with the outcome of a task', async () => {
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
      ['unwanted ended', 'withdrawn', expect.objectContaining({ code: 'LCTX_CANCELLED' })],
      ['failing ended', 'failed', boom],
      'failing leaves',
      'deaf enters',
      'deaf leaves',
      ['deaf is abandoned', 'LCTX_ABANDONED'],
    ])
  })

  it('needs no optional method', async () => {
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

  it('is not called for a failure after the scope closed itself', () => {
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

    expect(events).toEqual(['scope enters', ['scope ended', 'done', undefined]])
  })
})
