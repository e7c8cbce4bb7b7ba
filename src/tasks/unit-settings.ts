import type { Unit } from '../context/unit.ts'
import type { LateUseWatch } from './late-use.ts'
import type { Policy } from './policy.ts'
import type { TaskGroup } from './task-group.ts'

/** What a unit is told at its opening and passes on to the tasks spawned in it. It holds nothing of the request. */
export interface UnitSettings {
  /** The group that owns what the unit spawns. */
  readonly group: TaskGroup
  /** The route's policy, or the plugin's: below a spawn's own and its group's. */
  readonly policy: Policy | undefined
  readonly lateUse: LateUseWatch
}

/** Every unit is a scope or a task, and both have settings; the context itself need not know of them. */
export function settingsOf(unit: Unit): UnitSettings {
  return (unit as Unit & { readonly settings: UnitSettings }).settings
}
