import type { MicroRow } from '../harness/row.ts'
import { awaitsRow } from './awaits.ts'
import { forks } from './fork.ts'
import { get } from './get.ts'
import { ids } from './ids.ts'
import { isolate } from './isolate.ts'
import { logLine } from './log-line.ts'
import { otelScope, otelTask } from './otel-bridge.ts'
import { propagation } from './propagation.ts'
import { scope } from './scope.ts'
import { set } from './set.ts'
import { inherit } from './spawn.ts'

export const rows: readonly MicroRow[] = [
  get,
  set,
  scope,
  ...forks,
  inherit,
  isolate,
  ...propagation,
  ...ids,
  logLine,
  awaitsRow,
  otelTask,
  otelScope,
]

export function rowNamed(name: string): MicroRow {
  const row = rows.find((known) => known.name === name)
  if (row === undefined) throw new Error(`There is no row '${name}'.`)
  return row
}
