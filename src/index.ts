export { bindEmitter, type Emitter } from './context/bind-emitter.ts'
export { bind } from './context/bind.ts'
export type { Started } from './context/block.ts'
export { current, outside, run } from './context/current.ts'
export {
  type AnyContextVar,
  ContextVar,
  type ContextVarOptions,
  type PolicyName,
  type SpawnRule,
} from './context/context-var.ts'
export { isolateGenerator, type StartedSteps } from './context/generator.ts'
export { LogicalContext } from './context/logical-context.ts'
export {
  type AbandonedError,
  type CancelledError,
  type ClientGoneError,
  type DeadlineError,
  type EnqueueTimeoutError,
  type ErrorCode,
  type GroupClosedError,
  type GroupFullError,
  type LateWriteError,
  LogicalContextError,
  type LostEvent,
  type NotSetError,
  type OutsideUnitError,
  type PackageMissingError,
  type ScopeClosedError,
  type TimeoutError,
  type VersionMismatchError,
} from './errors.ts'
export type { CancelScope } from './tasks/cancel-scope.ts'
export type { DrainOptions, DrainReport, UnfinishedTask } from './tasks/drain.ts'
export { gather, type Gathered, type GatherOptions } from './tasks/gather.ts'
export type { LateUse, LateUseCounters, LateUseOptions } from './tasks/late-use.ts'
export { backgroundGroup, openScope, type OpenScopeOptions, runInScope, type ScopeOptions } from './tasks/open-scope.ts'
export type { Policy } from './tasks/policy.ts'
export { race, type RaceOptions } from './tasks/race.ts'
export type { RequestScope } from './tasks/request-scope.ts'
export { shield } from './tasks/shield.ts'
export { spawn, type SpawnedWork, type SpawnOptions } from './tasks/spawn.ts'
export { type StructuredTaskGroup, withTaskGroup, type WithTaskGroupOptions } from './tasks/structured-task-group.ts'
export type { OnTaskError, Task } from './tasks/task.ts'
export { type TaskCounters, TaskGroup, type TaskGroupOptions } from './tasks/task-group.ts'
export type { TaskLimits } from './tasks/task-limits.ts'
export { currentDeadline, currentSignal, type Unit } from './tasks/unit.ts'
export { withTimeout, type WithTimeoutOptions } from './tasks/with-timeout.ts'

// Loaded only if it is on. The import is not awaited: a module with a top-level await cannot be loaded by `require`.
if (/^(?:1|true|on|yes)$/i.test(process.env['LOGICAL_CONTEXT_DOCTOR'] ?? '')) {
  void import('./doctor/index.ts').then(({ doctor }) => doctor())
}
