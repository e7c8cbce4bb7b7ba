import { LogicalContext } from '../context/logical-context.ts'
import { processSingleton } from '../context/storage.ts'
import { anAmount, anyOf, aString, type Checks, checkOptions, oneOf, aFunction, show } from '../options.ts'
import { lateUseByDefault, type LateUseOptions, LateUseWatch } from './late-use.ts'
import { aPolicy, type Policy } from './policy.ts'
import { RequestScope } from './request-scope.ts'
import { TaskGroup } from './task-group.ts'
import { currentUnit, type UnitSettings } from './unit.ts'

/** Owns what is spawned in units that name no group; a program that uses it drains it before it exits. */
export const backgroundGroup: TaskGroup = processSingleton(
  'backgroundGroup',
  () => new TaskGroup({ name: 'background' }),
)

/** The group that owns what is spawned here without a group: the server's, or the program's. */
export function ownerHere(): TaskGroup {
  return currentUnit()?.settings.group ?? backgroundGroup
}

export interface ScopeOptions extends LateUseOptions {
  /** For logs and reports. Default: the function's name, or `'scope'`. */
  name?: string
  /** What the unit starts with. Default: the empty context. */
  context?: LogicalContext
  /** Owns what the unit spawns. Default: `backgroundGroup`. */
  group?: TaskGroup
  /** For the tasks that name no policy themselves. Default: `inherit`. */
  policy?: Policy
  /** When `scope.signal` aborts at the latest, in milliseconds since the epoch. Default: never. */
  deadline?: number
}

const checks: Checks = {
  name: aString,
  context: anyOf('a LogicalContext', (value) => value instanceof LogicalContext),
  group: anyOf('a TaskGroup', (value) => value instanceof TaskGroup),
  policy: aPolicy,
  deadline: anAmount,
  lateWrites: oneOf('throw', 'report'),
  onLateUse: aFunction,
}

/**
 * Runs `fn` as a unit of its own: for a job, a command, a program's start, a test. The unit starts fresh, also inside
 * another one, and ends when what `fn` returns has settled; its tasks may run on.
 *
 * @throws {TypeError} if `fn` is no function, or for an option that is unknown or of the wrong type.
 */
export function runInScope<R>(fn: (scope: RequestScope) => R, options?: ScopeOptions): R {
  if (typeof fn !== 'function') throw new TypeError(`runInScope: expected a function, got ${show(fn)}.`)
  const name = fn.name || 'scope'
  const scope =
    options === undefined ? new RequestScope(name, LogicalContext.empty, byDefault) : openScope(name, options)
  try {
    return scope.run(fn, scope)
  } finally {
    scope.close()
  }
}

const byDefault: UnitSettings = { group: backgroundGroup, policy: undefined, lateUse: lateUseByDefault }

function openScope(byFunction: string, options: ScopeOptions): RequestScope {
  checkOptions('runInScope', options, checks)
  const {
    name = byFunction,
    context = LogicalContext.empty,
    group = backgroundGroup,
    policy,
    deadline,
    lateWrites,
    onLateUse,
  } = options
  const told = lateWrites !== undefined || onLateUse !== undefined
  const lateUse = told ? new LateUseWatch({ lateWrites, onLateUse }) : lateUseByDefault
  const scope = new RequestScope(name, context, { group, policy, lateUse })
  if (deadline !== undefined) scope.expireAt(deadline)
  return scope
}
