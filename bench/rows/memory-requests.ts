import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import { Child } from '../harness/child.ts'
import { type MemoryRow, type MemorySide, ours, type Role, type Target } from '../harness/row.ts'
import * as ways from './fastify-contexts.ts'

/** The value of a request, if its context can be written: ten thousand numbers of its own. */
type Fill = (app: FastifyInstance) => Promise<(value: unknown) => void>

const count = 1000
const withinBare = (bytes: number): Target => ({
  words: `at most ${bytes} B over bare`,
  figure: 'bytes',
  against: 'bare',
  atMostMore: bytes,
})

function sides(prepare: (way: ways.ContextWay, fill: Fill) => ReturnType<MemorySide['prepare']>): MemorySide[] {
  const side = (name: string, role: Role, way: ways.ContextWay, fill: Fill = nothing): MemorySide => ({
    name,
    role,
    prepare: () => prepare(way, fill),
  })
  return [
    side('bare', 'floor', ways.none),
    side(ours, 'ours', ways.logicalContextAlone, variable),
    side('one-line als.run in onRequest', 'reference', ways.oneLineOfAls),
    side('our unit without the plugin', 'reference', ways.unitByHand, variable),
    side('@fastify/request-context', 'peer', ways.fastifyRequestContext, requestContext),
    side('@fastify/otel', 'peer', ways.fastifyOtel),
    side('nestjs-cls middleware', 'peer', ways.nestClsMiddleware, clsService),
    side('cls-rtracer', 'peer', ways.clsRtracer),
    side('OpenTelemetry context API', 'peer', ways.otelContextApi),
  ]
}

const nothing: Fill = async () => () => {}

const variable: Fill = async () => {
  const { ContextVar } = await import('logical-context')
  const large = new ContextVar<unknown>('large')
  return (value) => large.set(value)
}

const requestContext: Fill = async () => {
  const peer = await import('@fastify/request-context')
  return (value) => peer.requestContext.set('large' as never, value as never)
}

const clsService: Fill = async () => {
  const { ClsServiceManager } = await import('nestjs-cls')
  const cls = ClsServiceManager.getClsService<Record<string, unknown>>()
  return (value) => cls.set('large', value)
}

export const memoryInFlight: MemoryRow = {
  kind: 'memory',
  name: 'memory-in-flight',
  title: 'A request in flight',
  about: `${count} requests whose handlers wait. Each context has the request id or the span.`,
  count,
  thing: 'request in flight',
  sides: sides((way) => inFlight(way)),
  targets: [withinBare(600)],
}

export const memoryIdle: MemoryRow = {
  kind: 'memory',
  name: 'memory-idle',
  title: 'An idle keep-alive socket',
  about: `${count} connections, each after one reply. The handler wrote 10 kB into its context, if the context can be written.`,
  count,
  thing: 'idle socket',
  sides: sides((way, fill) => idle(way, fill)),
  targets: [withinBare(300)],
}

async function inFlight(way: ways.ContextWay): ReturnType<MemorySide['prepare']> {
  let entered = 0
  const gate = new Promise<void>(() => {})
  const open = await served(way, async (read) => {
    if (read() !== undefined) entered++
    await gate
  })
  return async (more) => {
    const expected = entered + more
    await open(more, 'in flight')
    while (entered < expected) await delay(5)
  }
}

async function idle(way: ways.ContextWay, fill: Fill): ReturnType<MemorySide['prepare']> {
  let closed = 0
  const app = Fastify() as FastifyInstance
  const read = await way(app)
  const keep = await fill(app)
  app.get('/', async (_request, reply) => {
    if (read() === undefined) return { hello: 'no context' }
    keep(Array.from({ length: 1250 }, (_, i) => i))
    reply.raw.on('close', () => closed++)
    return { hello: 'world' }
  })
  const open = await clientsOf(app)
  return async (more) => {
    const expected = closed + more
    await open(more, 'idle')
    while (closed < expected) await delay(5)
    await delay(20)
  }
}

async function served(way: ways.ContextWay, handle: (read: () => unknown) => Promise<void>) {
  const app = Fastify() as FastifyInstance
  const read = await way(app)
  app.get('/', async () => {
    await handle(read)
    return { hello: 'world' }
  })
  return clientsOf(app)
}

/** Opens connections from another process, whose memory is not measured. */
async function clientsOf(app: FastifyInstance) {
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const clients = new Child('clients', [], { node: process.execPath })
  await clients.first
  return (more: number, until: 'in flight' | 'idle') =>
    clients.ask({ ask: 'open', port, count: more, untilReply: until === 'idle' }, 'done')
}
