export { bind, current, outside, run } from './context/current.ts'
export {
  type AnyContextVar,
  ContextVar,
  type ContextVarOptions,
  type PolicyName,
  type SpawnRule,
} from './context/context-var.ts'
export { isolateGenerator } from './context/generator.ts'
export { LogicalContext } from './context/logical-context.ts'
export * from './errors.ts'
export { type Canceller, currentDeadline, currentSignal } from './tasks/cancel-scope.ts'
export type { DrainOptions, DrainReport, UnfinishedTask } from './tasks/drain.ts'
export { gather, type Gathered, type GatherOptions } from './tasks/gather.ts'
export type { LateUse, LateUseOptions } from './tasks/late-use.ts'
export type { Policy } from './tasks/policy.ts'
export { race, type RaceOptions } from './tasks/race.ts'
export type { RequestScope } from './tasks/request-scope.ts'
export { backgroundGroup, runInScope, type ScopeOptions } from './tasks/run-in-scope.ts'
export { shield, withoutCancel } from './tasks/shield.ts'
export { sleep, type SleepOptions } from './tasks/sleep.ts'
export { spawn, type SpawnOptions } from './tasks/spawn.ts'
export { type StructuredTaskGroup, withTaskGroup, type WithTaskGroupOptions } from './tasks/structured-task-group.ts'
export type { OnTaskError, Task } from './tasks/task.ts'
export { type TaskCounters, TaskGroup, type TaskGroupOptions } from './tasks/task-group.ts'
export { serverLimits, type TaskLimits } from './tasks/task-limits.ts'
export { withTimeout, type WithTimeoutOptions } from './tasks/with-timeout.ts'
