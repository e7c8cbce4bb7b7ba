import type { Row } from '../harness/row.ts'
import { awaitsRow } from './awaits.ts'
import { fastifyFull } from './fastify-full.ts'
import { fastifyHello } from './fastify-hello.ts'
import { fastifyLogging } from './fastify-logging.ts'
import { fastifyFetch, fastifyUndici } from './fastify-outbound.ts'
import { fastifySpans } from './fastify-spans.ts'
import { fastifySpawn } from './fastify-spawn.ts'
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

export const rows: readonly Row[] = [
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
  fastifyHello,
  fastifyFull,
  fastifyLogging,
  fastifySpawn,
  fastifyUndici,
  fastifyFetch,
  fastifySpans,
]

/** @throws {Error} if there is none. */
export function sideOf<Kind extends Row['kind']>(
  kind: Kind,
  rowName: string,
  sideName: string,
): Extract<Row, { kind: Kind }>['sides'][number] {
  const row = rows.find(({ name }) => name === rowName)
  const side = row?.sides.find(({ name }) => name === sideName)
  if (row?.kind !== kind || side === undefined) throw new Error(`No ${kind} row '${rowName}' has a side '${sideName}'.`)
  return side as Extract<Row, { kind: Kind }>['sides'][number]
}
