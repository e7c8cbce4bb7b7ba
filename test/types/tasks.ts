// Compiled by `npm run types`, not run: what must compile does, and what must not is expected to fail.
import {
  ContextVar,
  type DrainReport,
  type Policy,
  type RequestScope,
  runInScope,
  spawn,
  type Task,
  TaskGroup,
} from 'logical-context'
import { expectTypeOf } from 'vitest'

const tenant = new ContextVar<string>('tenant')
const retries = new ContextVar<number, number>('retries', { default: 0 })
const group = new TaskGroup({ name: 'mail', policy: 'isolate', onError: (error, task) => [error, task.name] })

expectTypeOf(spawn(async () => 1)).toEqualTypeOf<Task<number>>()
expectTypeOf(spawn(() => 1).result()).toEqualTypeOf<Promise<number>>()
expectTypeOf(group.spawn((task) => task.signal)).toEqualTypeOf<Task<AbortSignal>>()
expectTypeOf(group.drain({ timeoutMs: 1, graceMs: 1 })).toEqualTypeOf<Promise<DrainReport>>()
expectTypeOf(runInScope(() => 1)).toEqualTypeOf<number>()
expectTypeOf(runInScope(async (scope) => scope)).toEqualTypeOf<Promise<RequestScope>>()
expectTypeOf<{ only: [typeof tenant, typeof retries] }>().toExtend<Policy>()
spawn(() => {}, { name: 'n', policy: { only: [tenant, retries] }, cancelWith: AbortSignal.abort(), onError: () => {} })
spawn(() => {}, { cancelWith: 'request' })
const tasks: Task[] = [spawn(() => 1), spawn(async () => 'text')]
void tasks

expectTypeOf(spawn(Promise.resolve(1))).toEqualTypeOf<Task<number>>()
spawn(() => {}, { policy: { except: [tenant, retries] }, after: 'response', timeoutMs: 5 })

// @ts-expect-error neither a function nor a promise
spawn(1)

// @ts-expect-error an unknown policy
spawn(() => {}, { policy: 'detached' })

// @ts-expect-error a policy of names
spawn(() => {}, { policy: { only: ['tenant'] } })

// @ts-expect-error a policy with an unknown key
spawn(() => {}, { policy: { without: [tenant] } })

// @ts-expect-error a policy with a second key
spawn(() => {}, { policy: { only: [tenant], except: [retries] } })

// @ts-expect-error an unknown option
spawn(() => {}, { polcy: 'share' })

// @ts-expect-error a controller is not a signal
spawn(() => {}, { cancelWith: new AbortController() })

// @ts-expect-error an unknown source of cancellation
spawn(() => {}, { cancelWith: 'reply' })

// @ts-expect-error a name is a string
spawn(() => {}, { name: 7 })

// @ts-expect-error the result of a task has the type of its function's result
const wrong: Task<string> = spawn(() => 1)
void wrong

// @ts-expect-error an unknown option of a group
void new TaskGroup({ onFailure: () => {} })

// @ts-expect-error the tasks of a group are for reading
group.tasks.clear()

// @ts-expect-error an unknown option of a drain
void group.drain({ timeout: 1 })

// @ts-expect-error a limit is a number
void group.drain({ timeoutMs: '10s' })

// @ts-expect-error an unknown option of a unit
void runInScope(() => {}, { timeoutMs: 1 })

// @ts-expect-error values are not a context
void runInScope(() => {}, { context: { tenant: 'acme' } })
