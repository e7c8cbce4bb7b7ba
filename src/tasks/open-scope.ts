import type { Started } from '../context/block.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { processSingleton } from '../context/storage.ts'
import {
  aFunction,
  anAmount,
  anyOf,
  aString,
  type Check,
  checkArgument,
  checkFunction,
  type Checks,
  checkOptions,
  oneOf,
} from '../options.ts'
import { lateUseByDefault, type LateUseOptions, LateUseWatch } from './late-use.ts'
import { aPolicy, type Policy } from './policy.ts'
import { RequestScope } from './request-scope.ts'
import { TaskGroup } from './task-group.ts'
import { currentUnit, type UnitSettings } from './unit.ts'

/** Owns what units without a group of their own spawn. A program that uses it drains it before it exits. */
export const backgroundGroup: TaskGroup = processSingleton(
  'backgroundGroup',
  () => new TaskGroup({ name: 'background' }),
)

/** The group that owns what the current code spawns: the server's, or the program's. */
export function ownerHere(): TaskGroup {
  return currentUnit()?.settings.group ?? backgroundGroup
}

/** Options of `openScope`. */
export interface OpenScopeOptions extends LateUseOptions {
  /** The values that the unit starts with. Default: the empty context. */
  context?: LogicalContext
  /** Owns what the unit spawns. Default: `backgroundGroup`. */
  group?: TaskGroup
  /** For tasks without a policy of their own. Default: `inherit`. */
  policy?: Policy
  /** The time at which `scope.signal` aborts at the latest, in milliseconds since the epoch. Default: never. */
  deadline?: number
}

/** Options of `runInScope`. */
export interface ScopeOptions extends OpenScopeOptions {
  /** For logs and reports. Default: the function's name, or `'scope'`. */
  name?: string
}

const openChecks: Checks = {
  context: anyOf('a LogicalContext', (value) => value instanceof LogicalContext),
  group: anyOf('a TaskGroup', (value) => value instanceof TaskGroup),
  policy: aPolicy,
  deadline: anAmount,
  lateWrites: oneOf('throw', 'report'),
  onLateUse: aFunction,
}
const aName: Check = anyOf(`a name, ${aString.expected}`, aString.accepts)
const runChecks: Checks = { name: aString, ...openChecks }

/**
 * Opens a unit by hand: for a connection, a saga, an adapter. Enter it with `scope.run(fn)` as often as needed, and close
 * it with `scope.close()` or with `using scope = openScope('job')`. A promise that a run returns postpones the seal. A
 * second close does nothing; a run after the seal throws.
 *
 * The unit starts with the values of its options only, also if it opens inside another unit.
 *
 * @throws {TypeError} if `name` is not a string or is empty, or an option is unknown or of the wrong type.
 */
export function openScope(name: string, options?: OpenScopeOptions): RequestScope {
  checkArgument('openScope', aName, name)
  return open(name, checkOptions('openScope', options, openChecks))
}

/**
 * Runs `fn` in a unit of its own: a job, a command, the start of a program, a test. The unit starts with the values of its
 * options only, also inside another unit. It closes when `fn` returns, and seals when the promise that `fn` returned
 * settles. Its tasks may continue. A thenable that `fn` returns starts in the unit, and `runInScope` returns a promise
 * for it.
 *
 * @throws {TypeError} if `fn` is not a function, or for an option that is unknown or of the wrong type.
 */
export function runInScope<R extends PromiseLike<unknown> | null | undefined>(
  fn: (scope: RequestScope) => R,
  options?: ScopeOptions,
): Started<R>
export function runInScope<R>(fn: (scope: RequestScope) => R, options?: ScopeOptions): R
export function runInScope<R>(fn: (scope: RequestScope) => R, options?: ScopeOptions): R {
  checkFunction('runInScope', fn)
  const checked = options === undefined ? undefined : checkOptions('runInScope', options, runChecks)
  const scope = open(checked?.name ?? (fn.name || 'scope'), checked)
  try {
    return scope.run(fn, scope)
  } finally {
    scope.close()
  }
}

const defaultSettings: UnitSettings = { group: backgroundGroup, policy: undefined, lateUse: lateUseByDefault }

function open(name: string, options: OpenScopeOptions | undefined): RequestScope {
  if (options === undefined) return new RequestScope(name, LogicalContext.empty, defaultSettings)
  const { context = LogicalContext.empty, group = backgroundGroup, policy, deadline, lateWrites, onLateUse } = options
  const isDefault = lateWrites === undefined && onLateUse === undefined
  const lateUse = isDefault ? lateUseByDefault : new LateUseWatch({ lateWrites, onLateUse })
  // Most scopes have the same settings.
  const isPlain = isDefault && group === backgroundGroup && policy === undefined
  const scope = new RequestScope(name, context, isPlain ? defaultSettings : { group, policy, lateUse })
  if (deadline !== undefined) scope.expireAt(deadline)
  return scope
}
