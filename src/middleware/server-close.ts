import type { Server } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { keepShape } from '../callbacks.ts'
import { Connections, type ConnectionsOptions } from './connections.ts'
import type { Log } from './log.ts'
import { type CloseReport, reportDrain, ServerDrain, type ServerDrainOptions } from './server-drain.ts'

interface DrainAtCloseOptions extends Omit<ServerDrainOptions, 'connections'>, ConnectionsOptions {
  onDrained: ((report: CloseReport) => unknown) | undefined
  log: Log
  /** Returns the servers that Fastify listens on besides `fastify.server`: for the other addresses of `localhost`. */
  otherServers: () => readonly Server[]
}

/**
 * Makes the server's close wait for requests and tasks, up to a limit.
 *
 * The limit starts in `preClose`. The wait is in `server.close`, which Fastify calls after all `preClose` hooks and
 * before the first `onClose` hook, whatever the order of registration: a `preClose` hook can end a stream, and an
 * `onClose` hook can end a pool that tasks need. A wait in `preClose` would delay the hooks after it, and Fastify's
 * `pluginTimeout` would fail the close.
 */
export function drainAtClose(
  fastify: FastifyInstance,
  { onDrained, log, otherServers, ...options }: DrainAtCloseOptions,
): void {
  const { server } = fastify
  const connections = new Connections(options)
  connections.watch(server)
  const serverDrain = new ServerDrain({ ...options, connections })
  const { close } = server
  server.close = keepShape(close, function (callback) {
    // A direct call of `server.close()` does not close the app.
    if (!serverDrain.begun) return close.call(server, callback)
    const closeNow = () => {
      // Fastify closes these later, and does not wait for them.
      for (const other of otherServers()) other.close()
      close.call(server, callback)
    }
    serverDrain.wait().then(closeNow, closeNow)
    return server
  })

  noteCallersOfClose(fastify, serverDrain)
  fastify.addHook('onListen', async () => otherServers().forEach((other) => connections.watch(other)))
  fastify.addHook('preClose', (done) => {
    serverDrain.begin()
    // With a `serverFactory`, Fastify calls this method before our wait.
    if ('closeIdleConnections' in server) server.closeIdleConnections = () => connections.endIdle()
    done()
  })
  fastify.addHook('onClose', async () => {
    await reportDrain(await serverDrain.finish(), log, onDrained)
  })
}

/** The code that calls `app.close()` is not waited for: it could wait for the close itself. */
function noteCallersOfClose(fastify: FastifyInstance, serverDrain: ServerDrain): void {
  const close = fastify.close as (this: FastifyInstance, ...args: unknown[]) => unknown
  fastify.close = keepShape(close, function (this: FastifyInstance, ...args: unknown[]): unknown {
    serverDrain.calledFromHere()
    return close.apply(this, args)
  }) as typeof fastify.close
}
