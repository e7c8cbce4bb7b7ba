import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import { contextLogger } from 'logical-context/bridges/pino'
import logicalContext, { type LogicalContextOptions } from 'logical-context/middleware/fastify'
import pino from 'pino'
import { onTestFinished } from 'vitest'

/** A peer that sends a trace. */
export const caller = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' }

export type Line = Record<string, unknown>

export interface Shop {
  app: FastifyInstance
  url: string
  lines: Line[]
  /** Resolves when the unit has ended. */
  get: (path: string, headers?: http.OutgoingHttpHeaders) => Promise<void>
}

/** A server on loopback, closed with the test. */
export async function shop(routes: (app: FastifyInstance) => void, options: LogicalContextOptions = {}): Promise<Shop> {
  const lines: Line[] = []
  const log = contextLogger(pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as Line) }))
  const loggerInstance: FastifyBaseLogger = log
  const app = Fastify({ loggerInstance })
  await app.register(logicalContext, options)
  routes(app)
  await app.listen({ port: 0, host: '127.0.0.1' })
  onTestFinished(() => app.close())
  const { port } = app.server.address() as AddressInfo
  const get = async (path: string, headers: http.OutgoingHttpHeaders = {}) => {
    const end = sealed(1)
    http.get({ port, host: '127.0.0.1', path, headers, agent: false }, (response) => void response.resume())
    await end
  }
  return { app, url: `http://127.0.0.1:${port}`, lines, get }
}

/** Resolves when so many units have ended. */
export function sealed(count: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let left = count
  const onSeal = () => {
    if (--left > 0) return
    unsubscribe('logical-context:scope:seal', onSeal)
    resolve()
  }
  subscribe('logical-context:scope:seal', onSeal)
  return promise
}

export function traceparent(flags = '01'): http.OutgoingHttpHeaders {
  return { traceparent: `00-${caller.traceId}-${caller.spanId}-${flags}` }
}
