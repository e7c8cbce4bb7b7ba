import { withControl } from '../harness/control.ts'
import type { Row } from '../harness/row.ts'
import { awaitsRow } from './awaits.ts'
import { fastifyFull } from './fastify-full.ts'
import { fastifyHello } from './fastify-hello.ts'
import { fastifyLogging } from './fastify-logging.ts'
import { requestFull, requestHello, requestImport, requestParts } from './fastify-requests.ts'
import { fastifyFetch, fastifyUndici } from './fastify-outbound.ts'
import { fastifyOpenLoop } from './fastify-open-loop.ts'
import { fastifySpans } from './fastify-spans.ts'
import { fastifySpawn } from './fastify-spawn.ts'
import { forks } from './fork.ts'
import { get } from './get.ts'
import { growthBaggage } from './growth-baggage.ts'
import { growthChain } from './growth-chain.ts'
import { growthPending } from './growth-pending.ts'
import { growthConnections, growthInFlight } from './growth-requests.ts'
import { growthVariables } from './growth-variables.ts'
import { ids } from './ids.ts'
import { imports } from './import.ts'
import { isolate } from './isolate.ts'
import { jobContext } from './jobs.ts'
import { jobEngines } from './job-engines.ts'
import { logLine } from './log-line.ts'
import { memoryIdle, memoryInFlight } from './memory-requests.ts'
import { memoryTasks } from './memory-tasks.ts'
import { nextTick } from './next-tick.ts'
import { otelScope, otelTask } from './otel-bridge.ts'
import { propagation } from './propagation.ts'
import { scope } from './scope.ts'
import { servers } from './servers.ts'
import { set } from './set.ts'
import { inherit } from './spawn.ts'

/** Without the sides that show the error of the measurement. */
export const plainRows: readonly Row[] = [
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
  ...imports,
  nextTick,
  requestImport,
  requestHello,
  requestFull,
  requestParts,
  fastifyHello,
  fastifyFull,
  fastifyLogging,
  fastifySpawn,
  fastifyUndici,
  fastifyFetch,
  fastifyOpenLoop,
  fastifySpans,
  jobContext,
  ...jobEngines,
  ...servers,
  memoryInFlight,
  memoryIdle,
  ...memoryTasks,
  growthVariables,
  growthChain,
  growthBaggage,
  growthPending,
  growthInFlight,
  growthConnections,
]

export const rows: readonly Row[] = plainRows.map(withControl)

type Kind = Row['kind']
type SideOf<K extends Kind> = Extract<Row, { kind: K }>['sides'][number]

/** @throws {Error} if no such side exists. */
export function sideOf<K extends Kind>(kinds: readonly K[], rowName: string, sideName: string): SideOf<K> {
  const row = rows.find(({ name, kind }) => name === rowName && (kinds as readonly Kind[]).includes(kind))
  const side = row?.sides.find(({ name }) => name === sideName)
  if (side === undefined) throw new Error(`No ${kinds.join(' or ')} row '${rowName}' has a side '${sideName}'.`)
  return side as SideOf<K>
}
