import * as fc from 'fast-check'
import {
  ContextVar,
  currentSignal,
  gather,
  race,
  runInScope,
  shield,
  spawn,
  type Task,
  TaskGroup,
  withTaskGroup,
  withTimeout,
} from 'logical-context'
import { describe, expect, it } from 'vitest'
import { checkSchedules } from './schedules.ts'

const where = new ContextVar<string>('where')

/** Calls in calls: each runs its inner calls, one after the other or concurrently. */
type Call =
  | { kind: 'await' | 'set' }
  | { kind: 'withTimeout' | 'shield' | 'race' | 'block' | 'body' | 'spawn'; inner: Call[] }
  | { kind: 'gather' | 'tasks' | 'concurrent'; flows: Call[][] }

const { calls } = fc.letrec<{ calls: Call[]; call: Call }>((tie) => {
  const inner = tie('calls')
  const flows = fc.array(inner, { minLength: 1, maxLength: 3, size: 'max' })
  return {
    calls: fc.array(tie('call'), { minLength: 1, maxLength: 4, size: 'max' }),
    call: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('await' as const, 'set' as const) }) },
      {
        weight: 4,
        arbitrary: fc.record({
          kind: fc.constantFrom(
            'withTimeout' as const,
            'shield' as const,
            'race' as const,
            'block' as const,
            'body' as const,
            'spawn' as const,
          ),
          inner,
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constantFrom('gather' as const, 'tasks' as const, 'concurrent' as const),
          flows,
        }),
      },
    ),
  }
})

/** What the rules say that a flow sees: a cell is shared, or copied, and a signal is handed down. */
interface Expected {
  cell: { value: string }
  signal: AbortSignal | undefined
}

describe('any schedule of calls in calls', { timeout: 120_000 }, () => {
  it('shares the values that are shared, keeps the others, and has the signal of each', async () => {
    await checkSchedules(calls, async (program, scheduler) => {
      let writes = 0
      const group = new TaskGroup({ onError: (error) => expect.fail(String(error)) })

      const look = ({ cell, signal }: Expected) => {
        expect(where.get()).toBe(cell.value)
        expect(currentSignal()).toBe(signal)
      }
      const follow = async (flow: Call[], here: Expected): Promise<void> => {
        for (const call of flow) {
          look(here)
          await make(call, here)
          look(here)
        }
      }
      const inTask = (flow: Call[], { cell }: Expected) => {
        const snapshot = { ...cell }
        return ({ signal }: Task) => follow(flow, { cell: snapshot, signal })
      }
      const make = async (call: Call, here: Expected): Promise<unknown> => {
        const { cell } = here
        switch (call.kind) {
          case 'await':
            return scheduler.schedule(Promise.resolve(), cell.value)
          case 'set':
            return where.set((cell.value = `value ${writes++}`))
          case 'withTimeout':
            return withTimeout(({ signal }) => follow(call.inner, { cell, signal }), 60_000)
          case 'shield':
            return shield(({ signal }) => follow(call.inner, { cell, signal }))
          case 'body':
            return withTaskGroup(({ signal }) => follow(call.inner, { cell, signal }))
          case 'block': {
            const value = `value ${writes++}`
            return where.run(value, () => follow(call.inner, { ...here, cell: { value } }))
          }
          case 'concurrent':
            return Promise.all(call.flows.map((flow) => follow(flow, here)))
          case 'spawn':
            return void spawn(inTask(call.inner, here))
          case 'gather':
            return gather(call.flows.map((flow) => inTask(flow, here)))
          case 'race':
            return race([inTask(call.inner, here)])
          case 'tasks':
            return withTaskGroup((tasks) => {
              for (const flow of call.flows) tasks.spawn(inTask(flow, here))
            })
          default:
            return call satisfies never
        }
      }
      const all = runInScope(
        async ({ signal }) => {
          where.set('start')
          await follow(program, { cell: { value: 'start' }, signal })
        },
        { group },
      )
      await scheduler.waitFor(all.then(() => group.drain()))
      expect(group.counters.failed).toBe(0)
    })
  })
})
