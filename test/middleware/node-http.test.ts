import { createServer, IncomingMessage, type Server, ServerResponse } from 'node:http'
import {
  connect,
  constants,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2'
import { createServer as createHttpsServer, get as getOverTls } from 'node:https'
import { once } from 'node:events'
import type { AddressInfo, Server as NetServer } from 'node:net'
import { pipeline, Readable } from 'node:stream'
import { bind, ContextVar, currentSignal, type LogicalContext, spawn } from 'logical-context'
import { describeMiddleware } from 'logical-context/testing'
import defaultExport, { logicalContext } from 'logical-context/middleware/node-http'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { certificate } from '../clients/certificate.ts'

import { closeOf, describeNodeServer, listen, scopeOf, silent, urlOf } from '../contracts/node-server.ts'
import { Client } from './shutdown-client.ts'

const user = new ContextVar<string>('user')

function reply(response: ServerResponse, body: unknown): void {
  if (body instanceof Readable) body.pipe(response)
  else if (typeof body === 'string') response.end(body)
  else if (body !== undefined) response.end(JSON.stringify(body))
}

describeMiddleware({ describe, it, expect }, 'the wrapper for listeners', async (handler) => {
  const context = logicalContext(
    async (request, response) => {
      reply(response, await handler(request.url ?? '', scopeOf(request)))
    },
    { logger: silent },
  )
  const server = await listen(createServer(context))
  return { url: urlOf(server), close: () => closeOf(server) }
})
describeNodeServer('the wrapper for listeners', async (handler, options) => {
  const context = logicalContext((request, response) => {
    const body = handler({ request, response, scope: scopeOf(request) })
    // A listener in callback style, too.
    return body instanceof Promise ? body.then((text) => reply(response, text)) : reply(response, body)
  }, options)
  return listen(createServer(context))
})

async function open<S extends NetServer>(server: S): Promise<S> {
  onTestFinished(() => void server.close())
  return listen(server)
}

async function askOverHttp2(server: NetServer): Promise<void> {
  const idle = connect(urlOf(server))
  await once(idle, 'connect')
  const session = connect(urlOf(server))
  onTestFinished(() => [idle, session].forEach((each) => each.destroy()))
  await once(session.request().resume(), 'end')
}

async function askOverTls(server: NetServer): Promise<void> {
  const { port } = server.address() as AddressInfo
  const [response] = (await once(getOverTls({ port, rejectUnauthorized: false, agent: false }), 'response')) as [
    IncomingMessage,
  ]
  await once(response.resume(), 'end')
}

function throwNo(): never {
  throw new Error('no')
}

describe('logicalContext of middleware/node-http', () => {
  it('is the default export too', () => {
    expect(defaultExport).toBe(logicalContext)
  })

  it('emits events without a listener as Node does: an error throws, and an emit of another library is called', async () => {
    const emitted: (string | symbol)[] = []
    const results: unknown[] = []
    const context = logicalContext((request, response) => {
      try {
        request.emit('error', new Error('without a listener'))
      } catch (error) {
        results.push((error as Error).message)
      }
      results.push(request.emit('unheard'), request.on('heard', () => {}).emit('heard'))
      response.end()
    })
    const server = createServer((request, response) => {
      const { emit } = response
      response.emit = function (this: ServerResponse, event: string | symbol, ...args: unknown[]) {
        emitted.push(event)
        return Reflect.apply(emit, this, [event, ...args])
      } as typeof emit
      context(request, response)
    })
    await open(server)

    await (await fetch(urlOf(server))).text()
    await vi.waitFor(() => expect(emitted).toContain('close'))

    expect(results).toEqual(['without a listener', false, true])
    expect(emitted).toContain('prefinish')
  })

  it('keeps the name and the length of the listener, and calls it with its server', async () => {
    const seen: unknown[] = []
    const context = logicalContext(function serve(this: unknown, _request: IncomingMessage, response: ServerResponse) {
      seen.push(this)
      response.end()
    })
    const server = await open(createServer(context))

    await fetch(urlOf(server))

    expect([context.name, context.length, seen]).toEqual(['serve', 2, [server]])
  })

  it.each([undefined, {}, 'listener'])('refuses %s as a listener', (listener) => {
    expect(() => logicalContext(listener as never)).toThrow(/logicalContext: expected a function, got/)
  })

  it.each<[name: string, fail: (response: ServerResponse) => unknown]>([
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    ['rejects', async () => Promise.reject(new Error('no'))],
    [
      'rejects after it set a header',
      async (response) => {
        response.setHeader('content-length', 1)
        throw new Error('no')
      },
    ],
  ])('logs a listener that %s, and answers 500', async (_name, fail) => {
    const error = vi.fn()
    const context = logicalContext((_request, response) => fail(response), {
      logger: { ...silent, error },
    })
    const server = await open(createServer(context))

    const response = await fetch(urlOf(server), { headers: { 'x-request-id': 'r-1' } })

    expect([response.status, await response.text()]).toEqual([500, 'Internal Server Error'])
    expect(error).toHaveBeenCalledExactlyOnceWith(
      { err: expect.objectContaining({ message: 'no' }), request_id: 'r-1', unit: 'GET' },
      'the listener failed',
    )
  })

  it.each<[name: string, write: () => unknown]>([
    ['throws', throwNo],
    ['rejects', async () => throwNo()],
  ])('answers and closes also with a logger that %s', async (_, write) => {
    const errors = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => errors.mockRestore())
    const context = logicalContext(throwNo, { logger: { info: write, warn: write, error: write } })
    const server = await open(createServer(context))

    const { status } = await fetch(urlOf(server))
    await closeOf(server)

    expect(status).toBe(500)
    expect(errors.mock.calls.map(([line]) => String(line).slice(0, 36))).toEqual([
      'logical-context: logger.error failed',
      'logical-context: logger.info failed.',
    ])
  })

  it.each<[name: string, server: unknown]>([
    ['undefined', undefined],
    ['an app', { on() {}, listen() {} }],
  ])('refuses %s in drainAtClose', (_, server) => {
    expect(() => logicalContext(() => {}).drainAtClose(server as Server)).toThrow(
      /^drainAtClose: expected a server, such as what `listen` returns, got/,
    )
  })

  it('breaks a response that has begun when its listener rejects', async () => {
    const context = logicalContext(
      async (_request, response) => {
        response.write('half')
        await once(response, 'drain').catch(() => {})
      },
      { logger: silent },
    )
    const failing = logicalContext(
      async (_request, response) => {
        response.write('half')
        throw new Error('no')
      },
      { logger: silent },
    )
    expect(context.inbound).not.toBe(failing.inbound)
    const server = await open(createServer(failing))

    await expect(fetch(urlOf(server)).then((response) => response.text())).rejects.toThrow(TypeError)
  })

  it('answers a request that two wrappers receive with an error that has the reason', async () => {
    const error = vi.fn()
    const inner = logicalContext((_request, response) => response.end())
    const server = await open(createServer(logicalContext(inner, { logger: { ...silent, error } })))

    expect((await fetch(urlOf(server))).status).toBe(500)
    expect(error.mock.calls[0]?.[0]).toMatchObject({
      err: {
        message: expect.stringMatching(/has a unit already, of an earlier registration\..* Wrap the listener once/),
      },
    })
  })

  it('wraps the listeners of HTTPS and of HTTP/2, in the clear and over TLS', async () => {
    const seen: unknown[] = []
    const context = logicalContext(
      (request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse) => {
        user.set(String(request.url))
        response.on('close', () => seen.push(user.get()))
        setImmediate(() => void response.end(`${user.get()}`))
      },
    )
    const { cert, key } = certificate
    const https = await open(createHttpsServer({ cert, key }, context))
    const http2 = await open(createHttp2Server(context))

    const text = new Promise((resolve) =>
      getOverTls(`${urlOf(https).replace('http', 'https')}/tls`, { rejectUnauthorized: false, agent: false }, (reply) =>
        reply.setEncoding('utf8').on('data', resolve),
      ),
    )
    expect(await text).toBe('/tls')
    const session = connect(urlOf(http2))
    const stream = session.request({ ':path': '/h2' }).setEncoding('utf8')
    expect(await once(stream, 'data')).toEqual(['/h2'])
    await once(stream, 'close')
    await Promise.all([closeOf(https), closeOf(http2), once(session, 'close')])

    expect(seen).toEqual(['/tls', '/h2'])
  })

  it('calls all callbacks of a response in its own unit, also if it waits for the one before it', async () => {
    const written = Promise.withResolvers<void>()
    const called: unknown[] = []
    const context = logicalContext(async ({ url }: IncomingMessage, response: ServerResponse) => {
      user.set(String(url))
      if (url === '/first') {
        await written.promise
        response.end('first')
      } else {
        const look = (name: string) => () => called.push(`${name} ${user.get()}`)
        response.writeEarlyHints({ link: '</style.css>; rel=preload' }, look('hints'))
        response.writeContinue(look('continue'))
        response.writeProcessing(look('processing'))
        response.write('second', look('write'))
        response.end('last', look('end'))
        written.resolve()
      }
    })
    const server = await open(createServer(context))
    const client = await Client.open((server.address() as AddressInfo).port)

    client.socket.write('GET /first HTTP/1.1\r\nhost: x\r\n\r\nGET /second HTTP/1.1\r\nhost: x\r\n\r\n')

    const names = ['hints', 'continue', 'processing', 'write', 'end']
    await expect.poll(() => called).toEqual(names.map((name) => `${name} /second`))
    client.socket.destroy()
  })

  it('has the values in a bound listener of the connection, after a disconnect in the reply', async () => {
    const closed = Promise.withResolvers<unknown>()
    const context = logicalContext((request: IncomingMessage, response: ServerResponse) => {
      user.set('ann')
      request.socket.on(
        'close',
        bind(() => closed.resolve(user.get())),
      )
      response.write('part')
    })
    const server = await open(createServer(context))
    const client = await Client.open((server.address() as AddressInfo).port)
    client.ask('/')
    await client.hears('part')

    client.socket.destroy()

    expect(await closed.promise).toBe('ann')
  })

  it('does not warn about a listener that ends in time, after a reply before the end of the body', async () => {
    const warnings: string[] = []
    const never = Promise.withResolvers<void>()
    const context = logicalContext(
      async (request: IncomingMessage, response: ServerResponse) => {
        const closed = once(request, 'close')
        response.end('ok')
        await (request.method === 'POST' ? closed : never.promise)
      },
      { settleTimeoutMs: 500, logger: { ...silent, warn: (_fields, message) => warnings.push(message) } },
    )
    const server = await open(createServer(context))

    await fetch(urlOf(server), { method: 'POST', body: 'x'.repeat(100_000) })
    await fetch(urlOf(server))

    await expect.poll(() => warnings).toEqual([expect.stringMatching(/ GET /)])
  })

  it.each([undefined, null])('serves a request that a test creates with %s as its socket', (socket) => {
    let seen: unknown
    const request = new IncomingMessage(socket as never)
    const context = logicalContext((_request: IncomingMessage, response: ServerResponse) => {
      user.set('ann')
      seen = user.get()
      response.end()
    })

    context(request, new ServerResponse(request))

    expect(seen).toBe('ann')
  })

  it('has the values in the listeners of the streams of one session of HTTP/2', async () => {
    const seen: string[] = []
    const bothEntered = Promise.withResolvers<void>()
    const context = logicalContext(async ({ url }: Http2ServerRequest, response: Http2ServerResponse) => {
      user.set(url)
      for (const event of ['aborted', 'close']) {
        response.stream.on(event, () => seen.push(`${url} ${event} ${user.get()}`))
      }
      if (url === '/b') bothEntered.resolve()
      await bothEntered.promise
      if (url === '/a') response.end('ok')
    })
    const server = await open(createHttp2Server(context))
    const session = connect(urlOf(server))
    const [a, b] = [session.request({ ':path': '/a' }), session.request({ ':path': '/b' })]

    await once(a.resume(), 'close')
    b.close(constants.NGHTTP2_CANCEL)

    await expect.poll(() => seen).toEqual(['/a close /a', '/b aborted /b', '/b close /b'])
    session.destroy()
  })

  it('has the values in the callback of a pipeline to a response over HTTP/2', async () => {
    const seen: unknown[] = []
    const listener = (request: Http2ServerRequest, response: Http2ServerResponse) => {
      user.set(request.url)
      pipeline(request, response, (error) => seen.push(error, user.get()))
    }
    const server = await open(createHttp2Server(logicalContext(listener)))
    const session = connect(urlOf(server))
    const stream = session.request({ ':path': '/a', ':method': 'POST' }).resume()

    stream.end('body')

    await expect.poll(() => seen).toEqual([undefined, '/a'])
    session.destroy()
  })

  it('has the values in the events of a stream that is pushed, also after the response', async () => {
    const seen: string[] = []
    const pushed: Http2ServerResponse[] = []
    let page: { context: LogicalContext } | undefined
    const context = logicalContext(({ url, requestScope }: Http2ServerRequest, response: Http2ServerResponse) => {
      user.set(url)
      if (url === '/page') page = requestScope
      for (const each of pushed) each.end('more', () => seen.push(`end ${user.get()}`))
      if (url === '/later') {
        response.end()
        return
      }
      response.createPushResponse({ ':path': '/style.css' }, (_error, style) => {
        seen.push(`pushed ${user.get()}`)
        for (const event of ['finish', 'close']) style.on(event, () => seen.push(`${event} ${user.get()}`))
        style.stream.on('close', () => seen.push(`stream ${user.get()}`))
        pushed.push(style)
        response.end()
      })
    })
    const server = await open(createHttp2Server(context))
    const session = connect(urlOf(server))
    session.on('stream', (stream) => stream.resume())

    await once(session.request({ ':path': '/page' }).resume(), 'close')
    await once(session.request({ ':path': '/later' }).resume(), 'close')

    const names = ['pushed', 'end', 'finish', 'close', 'stream']
    await expect.poll(() => seen).toEqual(names.map((name) => `${name} /page`))
    await expect.poll(() => page?.context.get(user)).toBeUndefined()
    session.destroy()
  })

  it('adds the trace to Server-Timing of a reply over HTTP/2', async () => {
    const listener = (_request: Http2ServerRequest, response: Http2ServerResponse) => {
      response.writeHead(200, { 'Server-Timing': 'db;dur=5' })
      response.end()
    }
    const server = await open(createHttp2Server(logicalContext(listener, { serverTiming: true })))
    const session = connect(urlOf(server))

    const [headers] = (await once(session.request(), 'response')) as [Record<string, string>]

    expect(headers['server-timing']).toMatch(/^db;dur=5, trace;desc="00-[\da-f]{32}-[\da-f]{16}-03"$/)
    session.destroy()
  })

  it('waits at the close for the running requests of an HTTP/2 session, and receives no new ones', async () => {
    const go = Promise.withResolvers<void>()
    const entered = Promise.withResolvers<void>()
    const context = logicalContext(async (_request: Http2ServerRequest, response: Http2ServerResponse) => {
      entered.resolve()
      await go.promise
      response.end('whole')
    })
    const server = await open(context.drainAtClose(createHttp2Server(context)))
    const [silentSession, session] = [connect(urlOf(server)), connect(urlOf(server))]
    const silentClosed = once(silentSession, 'close')
    const stream = session.request({}).setEncoding('utf8')
    await entered.promise

    const closed = closeOf(server)
    const [code] = (await once(session, 'goaway')) as [number]
    go.resolve()

    expect(await once(stream, 'data')).toEqual(['whole'])
    await Promise.all([closed, silentClosed])
    expect(code).toBe(constants.NGHTTP2_NO_ERROR)
  })

  it('ends silent connections at a close before the first request, with drainAtClose', async () => {
    const context = logicalContext(() => {})
    const server = await open(createServer(context))
    expect(context.drainAtClose(server)).toBe(server)
    const client = await Client.open((server.address() as AddressInfo).port)

    await closeOf(server)

    await client.closed
  })

  it.each<[name: string, create: (context: never) => NetServer, ask: (server: NetServer) => Promise<unknown>]>([
    ['HTTP', createServer, (server) => fetch(urlOf(server))],
    ['HTTP/2', createHttp2Server, askOverHttp2],
    ['HTTPS', (context) => createHttpsServer(certificate, context), askOverTls],
  ])('ends connections over %s that were opened before the first request', async (_, create, ask) => {
    const context = logicalContext((_request: IncomingMessage, response: ServerResponse) => response.end())
    const server = await open(create(context as never))
    const accepted = once(server, 'connection')
    const client = await Client.open((server.address() as AddressInfo).port)
    onTestFinished(() => void client.socket.destroy())
    await accepted
    await ask(server)

    await closeOf(server)

    await client.closed
  })

  it('drains the tasks at the close of the last of its servers', async () => {
    const go = Promise.withResolvers<void>()
    const order: string[] = []
    const context = logicalContext((_request, response) => {
      spawn(async () => {
        await go.promise
        order.push('task')
      })
      response.end()
    })
    const [first, last] = [await open(createServer(context)), await open(createServer(context))]
    await Promise.all([fetch(urlOf(first)), fetch(urlOf(last))])

    await closeOf(first)
    order.push('first')
    const closed = closeOf(last)
    go.resolve()
    await closed

    expect(order).toEqual(['first', 'task', 'task'])
  })

  it('leaves the tasks of a server that starts during the drain of the last one', async () => {
    const go = Promise.withResolvers<void>()
    const ended = vi.fn<(aborted: boolean | undefined) => void>()
    const context = logicalContext(
      (request, response) => {
        if (request.url !== '/')
          spawn(async () => {
            await go.promise
            ended(currentSignal()?.aborted)
          })
        spawn(() => response.end())
      },
      { drainTimeoutMs: 100, logger: silent },
    )
    const first = await open(createServer(context))
    await fetch(`${urlOf(first)}/waits`)
    const closed = closeOf(first)
    const second = await open(createServer(context))

    const during = await fetch(`${urlOf(second)}/waits`)
    await closed
    const after = await fetch(urlOf(second))
    go.resolve()
    await closeOf(second)

    expect([during.status, after.status]).toEqual([200, 200])
    expect(ended.mock.calls).toEqual([[false], [false]])
  })

  it('waits also where the server is disposed, and passes the error of a second close', async () => {
    const done = vi.fn()
    const context = logicalContext((_request, response) => {
      spawn(async () => {
        await new Promise((resolve) => setTimeout(resolve, 20))
        done()
      })
      response.end()
    })
    {
      await using server: Server = await listen(createServer(context))
      await fetch(urlOf(server))
      onTestFinished(async () => {
        const { promise, resolve } = Promise.withResolvers<Error | undefined>()
        server.close(resolve)
        expect(await promise).toMatchObject({ code: 'ERR_SERVER_NOT_RUNNING' })
      })
    }

    expect(done).toHaveBeenCalledOnce()
  })
})
