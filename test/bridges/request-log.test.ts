import Fastify, {
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import { ContextVar, gather, spawn, type Task, withTimeout } from 'logical-context'
import { contextLogger, pinoMixin } from 'logical-context/bridges/pino'
import logicalContext from 'logical-context/middleware/fastify'
import { pino } from 'pino'
import { describe, expect, it, onTestFinished } from 'vitest'

const tenant = new ContextVar<string>('tenant')

type Line = Record<string, unknown>
const traceIds: Readonly<Record<string, string>> = { a: 'a'.repeat(32), b: 'b'.repeat(32) }

/** A server of two overlapping requests: `/wait` leaves work, which the request of `/release` runs in its own context. */
class Crossing {
  readonly app: FastifyInstance
  /** The module's logger. */
  readonly log: FastifyBaseLogger
  readonly lines: Line[] = []
  readonly tasks: Task[] = []
  #left: (() => void) | undefined
  readonly #arrived = Promise.withResolvers<void>()

  constructor(maker: 'contextLogger' | 'pinoMixin', options: object = {}) {
    const output = {
      write: (line: string) => {
        // No key is in a line twice.
        expect(line.split('"reqId":').length).toBeLessThan(3)
        this.lines.push(JSON.parse(line) as Line)
      },
    }
    const fields = { tenant }
    this.log =
      maker === 'contextLogger'
        ? contextLogger(pino({}, output), { fields, ...options })
        : pino({ mixin: pinoMixin({ fields, ...options }) }, output)
    this.app = Fastify({ loggerInstance: this.log })
    onTestFinished(() => this.app.close())
  }

  /** Runs request a with `leave`, whose result request b calls. Returns the lines that one of the two wrote. */
  async run(leave: (request: FastifyRequest, reply: FastifyReply) => () => void): Promise<Line[]> {
    await this.app.register(logicalContext, { trust: () => true })
    this.app.addHook('onRequest', async (request) => tenant.set(`tenant of ${request.id}`))
    this.app.get('/wait', (request, reply) => {
      this.#left = leave(request, reply)
      this.#arrived.resolve()
    })
    this.app.get('/release', async () => {
      this.#left?.()
      return {}
    })
    const url = await this.app.listen({ port: 0, host: '127.0.0.1' })
    const get = async (id: string, path: string) => {
      const headers = { 'x-request-id': id, traceparent: `00-${traceIds[id]}-b7ad6b7169203331-01` }
      const response = await fetch(url + path, { headers })
      await response.text()
    }
    const waiting = get('a', '/wait')
    await this.#arrived.promise
    await get('b', '/release')
    await waiting
    await Promise.allSettled(this.tasks.map((task) => task.result()))
    await this.app.close()
    return this.lines.filter((line) => line['reqId'] !== undefined)
  }
}

/** The fields of a request's lines. */
const of = (id: string) => ({
  reqId: id,
  request_id: id,
  trace_id: traceIds[id],
  tenant: `tenant of ${id}`,
  task_name: undefined,
})

function fieldsOf(lines: readonly Line[]): Line[] {
  return lines.map(({ msg, reqId, request_id, trace_id, tenant: known, task_name }) => {
    return { msg, reqId, request_id, trace_id, tenant: known, task_name }
  })
}

describe.each(['contextLogger', 'pinoMixin'] as const)('request.log, with %s', (maker) => {
  it('has the fields of its own request when another request runs the callback, as have the lines of Fastify', async () => {
    const crossing = new Crossing(maker)

    const lines = await crossing.run((request, reply) => () => {
      request.log.info('from a callback')
      request.log.child({ module: 'db' }).info('of a child')
      crossing.log.info('of the module')
      reply.send({})
    })

    expect(fieldsOf(lines)).toEqual([
      { ...of('a'), msg: 'incoming request', tenant: undefined },
      { ...of('b'), msg: 'incoming request', tenant: undefined },
      { ...of('a'), msg: 'from a callback' },
      { ...of('a'), msg: 'of a child' },
      expect.objectContaining({ msg: 'request completed' }),
      expect.objectContaining({ msg: 'request completed' }),
    ])
    const completed = fieldsOf(lines.slice(4))
    expect(completed.toSorted((one, other) => String(one['reqId']).localeCompare(String(other['reqId'])))).toEqual([
      { ...of('a'), msg: 'request completed' },
      { ...of('b'), msg: 'request completed' },
    ])
    // The module's logger belongs to no request: it has the fields of the code that runs.
    expect(crossing.lines.find(({ msg }) => msg === 'of the module')).toMatchObject({ request_id: 'b' })
  })

  it('has them on the line of an error that is sent from the other request', async () => {
    const crossing = new Crossing(maker)

    const lines = await crossing.run((_request, reply) => () => void reply.send(new Error('boom')))

    expect(fieldsOf(lines.filter(({ level }) => level === 50))).toEqual([{ ...of('a'), msg: 'boom' }])
  })

  it('has the fields of a task or a block of its request, and of no other', async () => {
    const crossing = new Crossing(maker)

    const lines = await crossing.run((request, reply) => {
      const { log } = request
      crossing.tasks.push(
        spawn(() => log.info('inherit'), { name: 'inherit' }),
        spawn(() => log.info('isolate'), { name: 'isolate', policy: 'isolate' }),
        spawn(() => log.info('share'), { name: 'share', policy: 'share' }),
        spawn(() => void crossing.tasks.push(spawn(() => log.info('deep'), { name: 'deep' })), { name: 'outer' }),
      )
      tenant.run('of a block', () => log.info('block'))
      void withTimeout(() => log.info('limit'), 1000)
      void gather([
        function branch() {
          log.info('branch')
        },
      ])
      return () => {
        tenant.run('of the other', () => log.info('block of the other'))
        crossing.tasks.push(spawn(() => log.info('task of the other'), { name: 'other' }))
        reply.send({})
      }
    })

    const isolated = lines.find(({ msg }) => msg === 'isolate')
    expect(isolated?.['trace_id']).not.toBe(traceIds['a'])
    expect(fieldsOf(lines.filter(({ msg }) => !/request/.test(String(msg))))).toEqual([
      { ...of('a'), msg: 'inherit', task_name: 'inherit' },
      { ...of('a'), msg: 'isolate', task_name: 'isolate', tenant: undefined, trace_id: isolated?.['trace_id'] },
      { ...of('a'), msg: 'share' },
      { ...of('a'), msg: 'deep', task_name: 'deep' },
      { ...of('a'), msg: 'block', tenant: 'of a block' },
      { ...of('a'), msg: 'limit' },
      { ...of('a'), msg: 'branch', task_name: 'branch' },
      { ...of('a'), msg: 'block of the other' },
      { ...of('a'), msg: 'task of the other' },
    ])
  })

  it('does not write the id of the request twice if its key is renamed to that of Fastify', async () => {
    const crossing = new Crossing(maker, { keys: { request_id: 'reqId' } })

    const lines = await crossing.run((request, reply) => () => {
      request.log.info('of the request')
      crossing.log.info('of the module')
      reply.send({})
    })

    expect(lines.map(({ reqId }) => String(reqId)).toSorted()).toEqual(['a', 'a', 'a', 'b', 'b', 'b'])
    for (const line of lines) expect(line).not.toHaveProperty('request_id')
  })

  it("does not write the id of the request twice if Fastify's key is renamed to ours", async () => {
    const raw: string[] = []
    const output = { write: (line: string) => void raw.push(line) }
    const log = maker === 'contextLogger' ? contextLogger(pino({}, output)) : pino({ mixin: pinoMixin() }, output)
    const app = Fastify({ loggerInstance: log, logController: new LogController({ requestIdLogLabel: 'request_id' }) })
    await app.register(logicalContext)
    app.get('/', async () => {
      log.info('of the module')
      return {}
    })

    await app.inject({ url: '/', headers: { 'x-request-id': 'a' } })

    expect(raw.map((line) => [(JSON.parse(line) as Line)['request_id'], line.split('"request_id":').length])).toEqual([
      ['a', 2],
      ['a', 2],
      ['a', 2],
    ])
    for (const line of raw) expect(line).not.toContain('reqId')
  })
})
