import type { FastifyBaseLogger } from 'fastify'
import type { LogicalContext } from '../context/logical-context.ts'
import type { DrainReport } from '../tasks/drain.ts'
import { requestId } from '../variables/request-id.ts'

/** A request that had not ended at the limit of the server's close. */
export interface UnfinishedRequest {
  /** The method and the route's pattern. */
  name: string
  /** What it saw at the limit; its id is `context.get(requestId)`. */
  context: LogicalContext
  /** Whether it has ended after its signal had aborted, or was cut off. */
  ended: boolean
}

/** What the server's close has waited for. */
export interface CloseReport extends DrainReport {
  /** The requests that were left at the limit. */
  unfinishedRequests: UnfinishedRequest[]
}

export function logCloseReport(log: FastifyBaseLogger, report: CloseReport): void {
  const { finished, unfinished, unfinishedRequests, elapsedMs } = report
  const counts = { finished, unfinished: unfinished.length, unfinished_requests: unfinishedRequests.length }
  log.info({ ...counts, elapsedMs: Math.round(elapsedMs) }, 'server drained')
  for (const { id, name, policy, context, began, ended } of unfinished) {
    const task = { task_name: name, task_id: id, policy, request_id: context.get(requestId), began, ended }
    log.warn(task, `task '${name}' had not finished when the server closed`)
  }
  for (const { name, context, ended } of unfinishedRequests) {
    log.warn({ request_id: context.get(requestId), ended }, `request '${name}' had not finished when the server closed`)
  }
}
