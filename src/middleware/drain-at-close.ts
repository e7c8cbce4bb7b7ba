import type { FastifyInstance } from 'fastify'
import { type CloseReport, logCloseReport } from './close-report.ts'
import { Connections } from './connections.ts'
import { ServerDrain, type ServerDrainOptions } from './server-drain.ts'

export interface DrainAtCloseOptions extends Omit<ServerDrainOptions, 'connections'> {
  onDrained: ((report: CloseReport) => void) | undefined
}

/**
 * Makes the server's close wait for requests and tasks, up to a limit.
 *
 * It begins in `preClose` and waits in `server.close`, which Fastify calls behind all hooks `preClose` and before the
 * first `onClose`, in whatever order they were added: a stream may be ended in the former, and in the latter a pool that
 * tasks need. To wait in `preClose` would hold off the hooks behind, and fail the close after Fastify's `pluginTimeout`.
 */
export function drainAtClose(fastify: FastifyInstance, { onDrained, ...options }: DrainAtCloseOptions): void {
  const { server } = fastify
  const connections = new Connections(server)
  const drain = new ServerDrain({ ...options, connections })
  const { close } = server
  server.close = function closeWhenDrained(callback) {
    // Somebody closes the server behind Fastify's back: that is no end of the app.
    if (!drain.begun) return close.call(server, callback)
    const closeNow = () => void close.call(server, callback)
    drain.wait().then(closeNow, closeNow)
    return server
  }

  fastify.addHook('preClose', (done) => {
    drain.begin()
    // Fastify calls it on a server from a `serverFactory`, before our wait.
    if ('closeIdleConnections' in server) server.closeIdleConnections = () => connections.endIdle()
    done()
  })
  fastify.addHook('onClose', async () => {
    const report = await drain.finish()
    logCloseReport(fastify.log, report)
    onDrained?.(report)
  })
}
