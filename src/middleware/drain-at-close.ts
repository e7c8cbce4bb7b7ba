import type { FastifyInstance } from 'fastify'
import type { DrainReport } from '../tasks/drain.ts'
import type { TaskGroup } from '../tasks/task-group.ts'
import type { InFlight } from './in-flight.ts'

/** How often connections that have become idle are closed once no request is under way. */
const sweepMs = 50
/** How long tasks have for their end after their signal has aborted at the limit. */
const graceMs = 500

/** The part of a Node server that knows its connections; an HTTP/2 server has none of it. */
interface ConnectionKeeper {
  closeIdleConnections?(): void
  closeAllConnections?(): void
}

/**
 * Makes the server's close wait for requests and tasks, up to a limit. The wait is in `preClose`, so that what others
 * tear down in `onClose`, a connection pool for one, is there for the tasks whatever the order of registration; and
 * because Node's own close ends connections that have not yet sent all of their reply.
 */
export function drainAtClose(
  fastify: FastifyInstance,
  group: TaskGroup,
  requests: InFlight,
  drainTimeoutMs: number,
  onDrained: (report: DrainReport) => void,
): void {
  const server: ConnectionKeeper = fastify.server
  let startedAt = 0
  let endedBefore = 0
  let sweep: NodeJS.Timeout | undefined
  let limit: NodeJS.Timeout | undefined

  fastify.addHook('preClose', async () => {
    startedAt = performance.now()
    endedBefore = group.endedCount
    const over = Promise.withResolvers<void>()
    limit = setTimeout(() => {
      over.resolve()
      server.closeAllConnections?.()
    }, drainTimeoutMs)
    await Promise.race([quiet(requests, group), over.promise])
    // A connection that was taken over stays open behind its request, idle, and would hold up the close.
    sweep = setInterval(() => server.closeIdleConnections?.(), sweepMs)
  })

  fastify.addHook('onClose', async () => {
    const elapsedMs = performance.now() - startedAt
    const { unfinished } = await group.drain({ timeoutMs: Math.max(0, drainTimeoutMs - elapsedMs), graceMs })
    clearInterval(sweep)
    clearTimeout(limit)
    group.close()
    const finished = group.endedCount - endedBefore - unfinished.filter((task) => task.ended).length
    onDrained({ finished, unfinished, elapsedMs: performance.now() - startedAt })
  })
}

/** Resolves when no request is under way and no task is left: a request may spawn, and a task make a request. */
async function quiet(requests: InFlight, group: TaskGroup): Promise<void> {
  while (requests.count > 0 || group.tasks.size > 0) {
    await requests.idle()
    if (group.tasks.size > 0) await group.idle()
  }
}
