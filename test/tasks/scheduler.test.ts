import * as fc from 'fast-check'
import {
  type CancelScope,
  ContextVar,
  type RequestScope,
  runInScope,
  spawn,
  type StructuredTaskGroup,
  type Task,
  TaskGroup,
  withTaskGroup,
} from 'logical-context'
import { describe, expect, it } from 'vitest'
import { checkSchedules } from './schedules.ts'

/** Where a flow is: each has a name of its own, and its children's begin with it. */
const where = new ContextVar<string>('where')

/** What a task does, one after the other. Indexes of tasks count those that there are, modulo. */
type Step =
  | { kind: 'await' }
  | { kind: 'set' }
  | { kind: 'fail' }
  | { kind: 'spawn'; steps: Step[] }
  | { kind: 'abort'; index: number }
  | { kind: 'abort the request' }
  | { kind: 'drain' }

const { step } = fc.letrec<{ steps: Step[]; step: Step }>((tie) => ({
  steps: fc.array(tie('step'), { maxLength: 6, size: 'max' }),
  step: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    { weight: 6, arbitrary: fc.constant<Step>({ kind: 'await' }) },
    { weight: 2, arbitrary: fc.constant<Step>({ kind: 'set' }) },
    { weight: 1, arbitrary: fc.constant<Step>({ kind: 'fail' }) },
    { weight: 1, arbitrary: fc.constant<Step>({ kind: 'abort the request' }) },
    { weight: 1, arbitrary: fc.constant<Step>({ kind: 'drain' }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('abort' as const), index: fc.nat(20) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('spawn' as const), steps: tie('steps') }) },
  ),
}))

/** What a unit does: enough to get in its own way. */
const steps = fc.array(step, { minLength: 4, maxLength: 16, size: 'max' })

class Failure extends Error {}

describe('any schedule of tasks in a group with limits', { timeout: 120_000 }, () => {
  const program = fc.record({
    units: fc.array(steps, { minLength: 1, maxLength: 3, size: 'max' }),
    maxConcurrent: fc.integer({ min: 1, max: 3 }),
    maxQueued: fc.integer({ min: 0, max: 3 }),
    maxPerRequest: fc.integer({ min: 1, max: 4 }),
    whenFull: fc.constantFrom('reject' as const, 'wait' as const),
    cancelWith: fc.constantFrom('request' as const, undefined),
  })

  it('keeps contexts apart, keeps to the limits, and loses no task', async () => {
    await checkSchedules(program, async ({ units, cancelWith, ...limits }, scheduler) => {
      const failures: unknown[] = []
      const group = new TaskGroup({ ...limits, onError: (error) => failures.push([where.get(), error]) })
      const { maxConcurrent, maxQueued, whenFull } = limits
      const tasks: Task[] = []
      const begun: Task[] = []
      const finished: Task[] = []
      const expectedFailures: unknown[] = []
      const drains: Promise<unknown>[] = []
      let refused = 0

      const checkLimits = () => {
        const { running, queued, waiting } = group.counters
        expect(running).toBeLessThanOrEqual(maxConcurrent)
        if (whenFull !== 'wait') expect(waiting).toBe(0)
        expect(queued).toBeLessThanOrEqual(maxQueued)
        expect(running + queued + waiting).toBe(group.tasks.length)
      }

      const spawnOne = (name: string, childSteps: Step[], scope: RequestScope) => {
        try {
          const body = async (task: Task) => {
            begun.push(task)
            try {
              await runSteps(name, childSteps, scope, inherited)
            } catch (error) {
              expectedFailures.push([where.get(), error])
              throw error
            } finally {
              finished.push(task)
            }
          }
          const inherited = where.get()
          tasks.push(spawn(body, { name, cancelWith }))
        } catch (error) {
          expect(error).toMatchObject({ code: 'LCTX_GROUP_FULL' })
          refused++
        }
        checkLimits()
      }

      const runSteps = async (name: string, list: Step[], scope: RequestScope, inherited: string | undefined) => {
        let own = inherited
        for (const [index, step] of list.entries()) {
          expect(where.get()).toBe(own)
          checkLimits()
          if (step.kind === 'await') await scheduler.schedule(Promise.resolve(), name)
          if (step.kind === 'set') where.set((own = `${name}.${index}`))
          if (step.kind === 'fail') throw new Failure(name)
          if (step.kind === 'spawn') spawnOne(`${name}.${index}`, step.steps, scope)
          if (step.kind === 'abort') tasks[step.index % tasks.length]?.abort()
          if (step.kind === 'abort the request') scope.abort(new Error('gone'))
          if (step.kind === 'drain') drains.push(group.drain({ timeoutMs: 60_000 }))
        }
        expect(where.get()).toBe(own)
      }

      const requests = units.map((list, index) =>
        runInScope(
          async (scope) => {
            where.set(`unit ${index}`)
            await runSteps(`unit ${index}`, list, scope, `unit ${index}`).catch((error: unknown) => {
              expect(error).toBeInstanceOf(Failure)
            })
          },
          { group },
        ),
      )
      const all = Promise.all(requests).then(() => group.drain({ timeoutMs: 60_000 }))
      const { unfinished } = await scheduler.waitFor(all)
      await Promise.all(drains)
      expect(unfinished).toEqual([])

      group.close()
      expect(() => group.spawn(() => {})).toThrow(expect.objectContaining({ code: 'LCTX_GROUP_CLOSED' }))
      const withdrawn = tasks.length - begun.length
      const outcomes = await Promise.allSettled(tasks.map((task) => task.result()))
      expect(finished).toHaveLength(begun.length)
      expect(outcomes.filter((outcome) => codeOf(outcome) === 'LCTX_CANCELLED')).toHaveLength(withdrawn)
      expect(failures).toEqual(expectedFailures)
      expect(group.counters).toEqual({
        running: 0,
        queued: 0,
        waiting: 0,
        ended: tasks.length,
        failed: expectedFailures.length,
        cancelled: withdrawn,
        refused: refused + 1,
        abandoned: 0,
      })
      // First come, first served.
      if (whenFull === 'reject') expect(begun).toEqual(begun.toSorted((left, right) => left.id - right.id))
    })
  })
})

describe('any schedule of withTaskGroup', { timeout: 120_000 }, () => {
  it('leaves when all have ended, with every failure, in the context it was called in', async () => {
    await checkSchedules(steps, async (list, scheduler) => {
      const gone = new Error('gone')
      const failures: Failure[] = []
      let cutOff = false
      let open = 0

      /** The work of the body and of a task: each obeys its signal if its step is an abort. */
      const work = async (
        name: string,
        some: Step[],
        { signal }: Pick<CancelScope, 'signal'>,
        group: StructuredTaskGroup,
        scope: RequestScope,
      ): Promise<void> => {
        let own = where.get()
        for (const [index, step] of some.entries()) {
          expect(where.get()).toBe(own)
          if (step.kind === 'await') await scheduler.schedule(Promise.resolve(), name)
          if (step.kind === 'set') where.set((own = `${name}.${index}`))
          if (step.kind === 'abort the request') scope.abort(gone)
          if (step.kind === 'abort' && signal.aborted) {
            cutOff = true
            throw signal.reason
          }
          if (step.kind === 'fail') {
            failures.push(new Failure(name))
            throw failures.at(-1)
          }
          if (step.kind === 'spawn') {
            const childName = `${name}.${index}`
            group.spawn((task) => counted(() => work(childName, step.steps, task, group, scope)), { name: childName })
          }
        }
      }
      const counted = async (fn: () => Promise<void>): Promise<void> => {
        open++
        await fn().finally(() => open--)
      }

      const outcome = await scheduler.waitFor(
        runInScope(async (scope) => {
          where.set('caller')
          try {
            await withTaskGroup((group) =>
              where.run('body', () => counted(() => work('body', list, group, group, scope))),
            )
            return 'well'
          } catch (error) {
            return error
          } finally {
            expect([open, where.get()]).toEqual([0, 'caller'])
          }
        }),
      )

      if (failures.length > 0) expect((outcome as AggregateError).errors).toEqual(failures)
      else expect(outcome).toBe(cutOff ? gone : 'well')
    })
  })
})

function codeOf(outcome: PromiseSettledResult<unknown>): unknown {
  return outcome.status === 'rejected' ? (outcome.reason as { code?: unknown }).code : undefined
}
