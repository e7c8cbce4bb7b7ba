import { AsyncResource } from 'node:async_hooks'
import { once } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Server as NetServer, Socket } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { ContextVar, type LogicalContextError, type RequestScope, spawn } from 'logical-context'
import type { CloseReport, NodeServerOptions } from 'logical-context/middleware/node-http'
import { w3cBaggage } from 'logical-context/propagators'
import { baggage, requestId, type TraceContext, traceContext } from 'logical-context/variables'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { Client } from '../middleware/shutdown-client.ts'

/** What a handler receives, whatever its framework. */
export interface Handled {
  request: IncomingMessage
  response: ServerResponse
  scope: RequestScope
}

/** Answers a request: with a text, a stream, or a promise of them; undefined if it has replied on `response`, or will. */
export type Handler = (handled: Handled) => unknown

/** Serves all requests with `handler`, below the middleware. The server listens. */
export type ServeNode = (handler: Handler, options: NodeServerOptions) => Promise<Server>

/** What differs between the servers. */
export interface NodeServerTraits {
  /** Closes a server as its framework does. Default: calls its `close()`. */
  close?: (server: Server) => Promise<unknown>
  /** Whether the server can start again after its close. Default: true. */
  restarts?: boolean
}

/** A logger that drops every line. */
export const silent = { info() {}, warn() {}, error() {} }

export async function listen<S extends NetServer>(server: S): Promise<S> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

export function urlOf(server: NetServer): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export function scopeOf({ requestScope }: IncomingMessage): RequestScope {
  if (requestScope === undefined) throw new Error('The request has no scope.')
  return requestScope
}

export async function closeOf(server: NetServer): Promise<void> {
  await new Promise((resolve) => server.close(resolve))
}

/** A limit that only a close reaches whose wait never ends. */
const longMs = 20_000
const soonMs = 8000
const limitMs = 200
/** The limit and the second after it, and some for a machine that is busy. */
const limitIsOverMs = limitMs + 1000 + 4000
/** More than the buffers on both sides of a connection hold. */
const wholeBody = 'x'.repeat(16 * 1024 * 1024)

const user = new ContextVar<string>('user')

/** A server to be closed, and its clients, until the end of the test. */
class NodeShop {
  readonly server: Server
  readonly reports: CloseReport[]
  readonly #sockets: Socket[] = []
  readonly #close: (server: Server) => Promise<unknown>

  private constructor(server: Server, reports: CloseReport[], close: (server: Server) => Promise<unknown>) {
    this.server = server
    this.reports = reports
    this.#close = close
    server.on('connection', (socket) => this.#sockets.push(socket))
  }

  static async open(
    serve: ServeNode,
    handler: Handler,
    options: NodeServerOptions = {},
    close: NodeServerTraits['close'] = closeOf,
  ): Promise<NodeShop> {
    const reports: CloseReport[] = []
    const onDrained = (report: CloseReport) => void reports.push(report)
    const shop = new NodeShop(
      await serve(handler, { logger: silent, onDrained, drainTimeoutMs: longMs, ...options }),
      reports,
      close,
    )
    onTestFinished(() => void close(shop.server))
    return shop
  }

  get url(): string {
    return urlOf(this.server)
  }

  async dial(): Promise<Client> {
    const client = await Client.open((this.server.address() as AddressInfo).port)
    onTestFinished(() => void client.socket.destroy())
    return client
  }

  /** Resolves when the server has read what the client sends. */
  async hears(client: Client, text: string): Promise<void> {
    client.socket.write(text)
    const { localPort } = client.socket
    await vi.waitUntil(() =>
      this.#sockets.some(({ remotePort, bytesRead }) => remotePort === localPort && bytesRead === text.length),
    )
  }

  /** Closes the server. Resolves at the end of the close with its duration. */
  async close(): Promise<number> {
    const startedAt = performance.now()
    await this.#close(this.server)
    return performance.now() - startedAt
  }

  get left(): string[] {
    return this.reports.flatMap((report) => report.unfinishedRequests.map(({ name }) => name))
  }
}

/** A handler that was entered, and answers when `answer` is called. */
function gate() {
  const entered = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  return {
    entered: entered.promise,
    open: go.resolve,
    pass: async () => {
      entered.resolve()
      await go.promise
      return 'whole'
    },
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return text
}

function okAfter(_response: ServerResponse): string {
  return 'ok'
}

function endWith(response: ServerResponse, headers: Parameters<ServerResponse['writeHead']>[1]): undefined {
  response.writeHead(200, headers as never).end('ok')
}

/** What every middleware for a server of `node:http` promises, over real sockets. */
export function describeNodeServer(
  name: string,
  serve: ServeNode,
  { close, restarts = true }: NodeServerTraits = {},
): void {
  const open = (handler: Handler, options?: NodeServerOptions) => NodeShop.open(serve, handler, options, close)
  const get = async (shop: NodeShop, path = '/', headers: Record<string, string> = {}) =>
    (await fetch(`${shop.url}${path}`, { headers })).text()

  describe(`${name}, on a server of Node`, () => {
    it('has the values in the events of the request and of the response', async () => {
      const seen: string[] = []
      const look = (place: string) => () => seen.push(`${place} ${user.get()}`)
      const closed = Promise.withResolvers<void>()
      const shop = await open(async ({ request, response }) => {
        user.set('ann')
        request.on('data', look('data')).on('end', look('end'))
        response.on('finish', look('finish')).on('close', look('close')).on('close', closed.resolve)
        await once(request, 'end')
        return 'ok'
      })

      await fetch(shop.url, { method: 'POST', body: 'body' })
      await closed.promise

      expect(seen).toEqual(['data ann', 'end ann', 'finish ann', 'close ann'])
    })

    it('has the values where a stream is produced', async () => {
      const shop = await open(async () => {
        user.set('ann')
        return Readable.from(
          (async function* () {
            for (let i = 0; i < 3; i++) {
              yield `${user.get()} `
              await delay(1)
            }
          })(),
        )
      })

      expect(await get(shop)).toBe('ann ann ann ')
    })

    it('ends the unit of a HEAD request whose reply is a stream', async () => {
      let scope: RequestScope | undefined
      const shop = await open(async (handled) => {
        scope = handled.scope
        return Readable.from(['a', 'b'])
      })

      await fetch(shop.url, { method: 'HEAD' })

      await expect.poll(() => scope?.sealed).toBe(true)
    })

    it('echoes the request id in the header of its option, or not', async () => {
      const ids: unknown[] = []
      const headersOf = async (options: NodeServerOptions) => {
        const shop = await open(async () => {
          ids.push(requestId.get())
          return 'ok'
        }, options)
        return (await fetch(shop.url, { headers: { 'x-request-id': 'r-1' } })).headers
      }

      const [usual, own, none] = [
        await headersOf({}),
        await headersOf({ replyIdHeader: 'x-trace' }),
        await headersOf({ replyIdHeader: false }),
      ]

      expect([usual.get('x-request-id'), own.get('x-trace'), none.get('x-request-id')]).toEqual(['r-1', 'r-1', null])
      expect(ids).toEqual(['r-1', 'r-1', 'r-1'])
    })

    it.each<[name: string, answer: (response: ServerResponse) => string | undefined, own: RegExp]>([
      ['nothing', () => 'ok', /^$/],
      ['setHeader', (response) => okAfter(response.setHeader('Server-Timing', 'db;dur=5')), /^db;dur=5, $/],
      ['setHeader of a list', (response) => okAfter(response.setHeader('server-timing', ['a', 'b'])), /^a, b, $/],
      ['writeHead', (response) => endWith(response, { 'Server-Timing': 'db;dur=5' }), /^db;dur=5, $/],
      [
        'writeHead with a list',
        (response) => endWith(response, ['Server-Timing', 'a', 'server-timing', 'b']),
        /^a, b, $/,
      ],
      ['writeHead after setHeader', (response) => endWith(response.setHeader('server-timing', 'a'), {}), /^a, $/],
      [
        'a replacement of writeHead, as on-headers makes it',
        (response) => {
          const { writeHead } = response
          response.writeHead = function (this: ServerResponse, ...args: unknown[]) {
            this.setHeader('server-timing', 'total;dur=9')
            return writeHead.apply(this, args as Parameters<typeof writeHead>)
          }
          return 'ok'
        },
        /^total;dur=9, $/,
      ],
      [
        'an error page that removes all headers',
        (response) => {
          response.setHeader('server-timing', 'a')
          for (const name of response.getHeaderNames()) response.removeHeader(name)
          return 'ok'
        },
        /^$/,
      ],
    ])('adds the trace to Server-Timing, after what the program sets: %s', async (_name, answer, own) => {
      let expected = ''
      const shop = await open(
        ({ response }) => {
          const { traceId, spanId } = traceContext.get() as TraceContext
          expected = `trace;desc="00-${traceId}-${spanId}-03"`
          return answer(response)
        },
        { serverTiming: true },
      )

      const { headers } = await fetch(shop.url)

      const text = headers.get('server-timing') ?? ''
      expect(text).toMatch(expected)
      expect(text.replace(expected, '')).toMatch(own)
    })

    it('starts each request of a connection with nothing, also of two in one packet', async () => {
      const shop = await open(async ({ request }) => {
        const before = user.get() ?? 'nothing'
        user.set(String(request.url))
        await delay(request.url === '/first' ? 20 : 1)
        return `<${before} ${user.get()}>`
      })
      const client = await shop.dial()

      client.socket.write('GET /first HTTP/1.1\r\nhost: x\r\n\r\nGET /second HTTP/1.1\r\nhost: x\r\n\r\n')
      await client.hears('>', 2)
      client.ask('/third')
      await client.hears('</third>'.slice(-1), 3)

      expect(client.heard.match(/<.*?>/g)).toEqual(['<nothing /first>', '<nothing /second>', '<nothing /third>'])
    })

    it('spawns tasks by the policy of its option, which a spawn can change', async () => {
      const shop = await open(
        async () => {
          user.set('ann')
          const seen = await Promise.all([
            spawn(() => user.get() ?? 'nothing').result(),
            spawn(() => user.get() ?? 'nothing', { policy: 'inherit' }).result(),
            spawn(() => user.set('bob'), { policy: 'share' }).result(),
          ])
          return [...seen.slice(0, 2), user.get()].join()
        },
        { policy: 'isolate' },
      )

      expect(await get(shop)).toBe('nothing,ann,bob')
    })

    it('takes values from listed peers only', async () => {
      const tenant = new ContextVar<string>('tenant')
      const propagators = [w3cBaggage({ members: { tenant } })]
      const handler = async () => `${tenant.get()} ${baggage.get() === undefined}`
      const [trusting, usual] = [
        await open(handler, { propagators, trust: ['127.0.0.1'] }),
        await open(handler, { propagators, onRefusal() {} }),
      ]
      const headers = { baggage: 'tenant=acme' }

      expect([await get(trusting, '/', headers), await get(usual, '/', headers)]).toEqual([
        expect.stringContaining('acme'),
        expect.stringContaining('undefined'),
      ])
    })

    it('refuses a wrong option where it is registered', async () => {
      await expect(open(() => 'ok', { drainTimeoutMs: -1 })).rejects.toThrow(/drainTimeoutMs.* expected a number/)
      await expect(open(() => 'ok', { logger: console.log as never })).rejects.toThrow(TypeError)
      await expect(open(() => 'ok', { polcy: 'isolate' } as object)).rejects.toThrow(/unknown option 'polcy'/)
    })

    it('answers in its own unit what the callback of another request replies', async () => {
      const seen: string[] = []
      let other: AsyncResource | undefined
      const { pass, open: letOtherEnd, entered } = gate()
      const closed = Promise.withResolvers<void>()
      const shop = await open(({ request, response }) => {
        if (request.url === '/other') {
          user.set('bob')
          other = new AsyncResource('client')
          return pass()
        }
        user.set('ann')
        const { end } = response
        // As a session store does.
        response.end = function saveAndEnd(this: ServerResponse, text: string) {
          seen.push(`end ${user.get()}`)
          return end.call(this, text, 'utf8')
        } as typeof response.end
        response.on('finish', () => seen.push(`finish ${user.get()}`)).on('close', closed.resolve)
        setImmediate(() => other?.runInAsyncScope(() => response.end('ok')))
        return new Promise<undefined>((resolve) => response.on('close', () => resolve(undefined)))
      })
      const bob = get(shop, '/other')
      await entered

      await get(shop)
      await closed.promise
      letOtherEnd()
      await bob

      expect(seen).toEqual(['end ann', 'finish ann'])
    })
  })

  describe(`a disconnect under ${name}`, () => {
    const codeOf = ({ signal }: RequestScope) => (signal.reason as LogicalContextError | undefined)?.code

    it('ends the unit in the body', async () => {
      let scope: RequestScope | undefined
      const entered = Promise.withResolvers<void>()
      const failed = Promise.withResolvers<unknown>()
      const shop = await open(async (handled) => {
        scope = handled.scope
        entered.resolve()
        await bodyOf(handled.request).catch(failed.resolve)
        return 'late'
      })
      const client = await shop.dial()
      client.socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nslow')
      await entered.promise

      client.socket.destroy()

      expect(await failed.promise).toMatchObject({ code: 'ECONNRESET' })
      await expect.poll(() => scope?.sealed).toBe(true)
      expect(codeOf(scope as RequestScope)).toBe('LCTX_CLIENT_GONE')
    })

    it('keeps the values for the handler until it has settled', async () => {
      let scope: RequestScope | undefined
      let seen: unknown
      const { pass, open: go, entered } = gate()
      const aborted = Promise.withResolvers<unknown>()
      const shop = await open(async (handled) => {
        scope = handled.scope
        user.set('ann')
        scope.signal.addEventListener('abort', aborted.resolve)
        await pass()
        seen = user.get()
        return 'late'
      })
      const client = await shop.dial()
      client.ask('/')
      await entered

      client.socket.destroy()
      await aborted.promise
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
      const sealedEarly = scope?.sealed
      go()
      await expect.poll(() => scope?.sealed).toBe(true)

      expect([sealedEarly, seen, codeOf(scope as RequestScope)]).toEqual([false, 'ann', 'LCTX_CLIENT_GONE'])
    })

    it('ends the unit in the reply', async () => {
      let scope: RequestScope | undefined
      const shop = await open(async (handled) => {
        scope = handled.scope
        return wholeBody
      })
      const client = await shop.dial()
      client.ask('/')
      await client.hears('x')

      client.socket.destroy()

      await expect.poll(() => scope?.sealed).toBe(true)
    })

    it('does not keep the values for a handler that never settles', async () => {
      const warn = vi.fn()
      let scope: RequestScope | undefined
      const { pass, entered } = gate()
      const logger = { ...silent, warn }
      const shop = await open((handled) => ((scope = handled.scope), pass()), { settleTimeoutMs: 20, logger })
      const client = await shop.dial()
      client.ask('/')
      await entered

      client.socket.destroy()

      await expect.poll(() => scope?.sealed).toBe(true)
      expect(warn).toHaveBeenCalledWith(
        expect.anything(),
        expect.stringMatching(/had not ended 20 ms after the response closed/),
      )
    })
  })

  describe(`the close of a server of ${name}`, () => {
    it('ends idle and silent connections at once, and the others with their reply', async () => {
      const { pass, open: go, entered } = gate()
      const shop = await open(({ request }) => (request.url === '/gate' ? pass() : 'ok'))
      const [idle, silent, busy] = [await shop.dial(), await shop.dial(), await shop.dial()]
      idle.ask('/')
      await idle.hears('ok')
      busy.ask('/gate')
      await entered

      const closed = shop.close()
      await idle.closed
      go()
      await Promise.all([busy.closed, silent.closed])

      expect(busy.heard).toMatch(/^HTTP\/1.1 200 OK\r\n[^]*connection: close\r\n[^]*whole/i)
      expect(await closed).toBeLessThan(soonMs)
      expect(shop.left).toEqual([])
    })

    it('waits for tasks before its callback and its event', async () => {
      const order: string[] = []
      const go = Promise.withResolvers<void>()
      const shop = await open(async () => {
        spawn(async () => {
          await go.promise
          order.push('task')
        })
        return 'ok'
      })
      await get(shop)
      shop.server.on('close', () => order.push('event'))

      const closed = shop.close().then(() => order.push('callback'))
      await delay(20)
      go.resolve()
      await closed

      expect(order).toEqual(['task', 'event', 'callback'])
      expect(shop.reports.map(({ finished }) => finished)).toEqual([1])
    })

    it('sends both of two pipelined replies', async () => {
      const [first, second] = [gate(), gate()]
      const shop = await open(({ request }) => (request.url === '/first' ? first : second).pass())
      const client = await shop.dial()
      client.ask('/first')
      client.ask('/second')
      await Promise.all([first.entered, second.entered])

      const closed = shop.close()
      first.open()
      await client.hears('whole')
      second.open()
      await client.closed

      expect(client.heard.split('HTTP/1.1 200')).toHaveLength(3)
      expect(await closed).toBeLessThan(soonMs)
    })

    it('waits for the end of a slow upload', async () => {
      const entered = Promise.withResolvers<void>()
      const shop = await open(async ({ request }) => {
        entered.resolve()
        return `got ${await bodyOf(request)}`
      })
      const client = await shop.dial()
      client.socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nslow')
      await entered.promise

      const closed = shop.close()
      client.socket.write('poke')
      await client.closed

      expect(client.heard).toMatch(/got slowpoke/)
      expect(await closed).toBeLessThan(soonMs)
    })

    it('is not held up for long by half a request', async () => {
      const shop = await open(() => 'ok')
      await get(shop)
      const half = await shop.dial()
      await shop.hears(half, 'GET / HTTP/1.1\r\nhost')

      expect(await shop.close()).toBeLessThan(soonMs)
      await half.closed
    })

    it('sends the whole reply to a slow reader', async () => {
      const shop = await open(async () => wholeBody)
      const client = await shop.dial()
      client.ask('/')
      await client.hears('x')
      client.socket.pause()

      const closed = shop.close()
      client.socket.resume()
      await client.closed

      expect(client.heard.endsWith(`\r\n\r\n${wholeBody}`)).toBe(true)
      expect(await closed).toBeLessThan(soonMs)
    })

    it.each<[name: string, handler: Handler]>([
      ['a handler that never settles', () => new Promise(() => {})],
      [
        'an event stream',
        ({ response }) => {
          response.writeHead(200, { 'content-type': 'text/event-stream' })
          response.write('data: 1\n\n')
          return new Promise(() => {})
        },
      ],
      ['a reader that never reads', async () => wholeBody],
    ])('is not stopped at its limit by %s', async (_name, handler) => {
      const entered = Promise.withResolvers<void>()
      const reasons: unknown[] = []
      const shop = await open(
        (handled) => {
          const { signal } = handled.scope
          signal.addEventListener('abort', () => reasons.push((signal.reason as LogicalContextError).code))
          entered.resolve()
          return handler(handled)
        },
        { drainTimeoutMs: limitMs, settleTimeoutMs: 1 },
      )
      const client = await shop.dial()
      client.ask('/')
      client.socket.pause()
      await entered.promise

      const elapsedMs = await shop.close()

      client.socket.resume()
      await client.closed
      expect(elapsedMs).toBeGreaterThan(limitMs - 2)
      expect(elapsedMs).toBeLessThan(limitIsOverMs)
      expect(shop.left).toEqual([expect.stringMatching(/^GET/)])
      expect(reasons).toEqual(['LCTX_ABANDONED'])
    })

    it('does not wait for the handler that calls it', async () => {
      const shop = await open(async () => {
        await shop.close()
        return 'closed'
      })

      const startedAt = performance.now()
      await get(shop).catch(() => {})

      expect(performance.now() - startedAt).toBeLessThan(soonMs)
    })

    it.runIf(restarts)('can be followed by a new start of the server, whose close waits again', async () => {
      const done: number[] = []
      const shop = await open(async () => {
        spawn(async () => {
          await delay(20)
          done.push(1)
        })
        return 'ok'
      })
      await get(shop)
      await shop.close()
      await new Promise<void>((resolve) => shop.server.listen(0, '127.0.0.1', resolve))
      await get(shop)
      await shop.close()

      expect(done).toEqual([1, 1])
    })
  })
}
