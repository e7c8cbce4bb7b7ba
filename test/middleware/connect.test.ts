import { once } from 'node:events'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Code, ConnectError, createClient, createRouterTransport, type Interceptor } from '@connectrpc/connect'
import { fastifyConnectPlugin } from '@connectrpc/connect-fastify'
import Fastify from 'fastify'
import { bind, ContextVar, currentSignal, spawn } from 'logical-context'
import { connectServerInterceptor } from 'logical-context/middleware/connect'
import fastifyContext from 'logical-context/middleware/fastify'
import type { InboundOptions } from 'logical-context/middleware/inbound'
import { logicalContext } from 'logical-context/middleware/node-http'
import { requestTimeout, w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { deadline, requestId, traceContext } from 'logical-context/variables'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import {
  connectTo,
  type Implementation,
  Orders,
  type OrdersClient,
  serve,
  streamOf,
  textsOf,
  type TransportName,
  transports,
} from '../clients/connect-service.ts'
import { silent } from '../contracts/node-server.ts'

const user = new ContextVar<string>('user')
const mark = new ContextVar<string>('mark')
const propagators = [w3cTraceContext(), w3cBaggage({ members: { user } }), xRequestId()]
const trusting: InboundOptions = { propagators, trust: 'loopback' }
const ids = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'x-request-id': 'request-1' }

/** A server whose calls have units, with the interceptor alone, or below a middleware that has opened the unit. */
type Serve = (implementation: Implementation, options: InboundOptions, transport: TransportName) => Promise<string>

const alone: Serve = async (implementation, options, transport) => {
  const interceptor = connectServerInterceptor(options)
  const { contextValues } = interceptor
  return (await serve(implementation, { interceptors: [interceptor], contextValues, transport })).url
}
const belowNodeHttp: Serve = async (implementation, options, transport) => {
  const wrap = (listener: RequestListener) => logicalContext(listener, { logger: silent, ...options })
  return (await serve(implementation, { interceptors: [connectServerInterceptor()], transport, wrap })).url
}
const belowFastify: Serve = async (implementation, options, transport) => {
  const app = Fastify({ http2: transport.endsWith('/2') as false })
  await app.register(fastifyContext, options as object)
  await app.register(fastifyConnectPlugin, {
    interceptors: [connectServerInterceptor()],
    routes: (router) => router.service(Orders, implementation),
  })
  onTestFinished(() => void app.close())
  return app.listen({ host: '127.0.0.1', port: 0 })
}

/** What the unit has. */
const tell = () => ({
  value: [user.get(), requestId.get(), traceContext.get()?.traceId, mark.get()].map(String).join(' '),
})

const implementation: Implementation = {
  async unary() {
    mark.set(`unary of ${user.get()}`)
    await delay(1)
    return tell()
  },
  async upload(requests) {
    mark.set(`upload of ${user.get()}`)
    for await (const _ of requests) mark.set(`${mark.get()}+`)
    return tell()
  },
  async *download() {
    mark.set(`download of ${user.get()}`)
    for (let i = 0; i < 3; i++) {
      await delay(1)
      yield tell()
    }
  },
  async *chat(requests) {
    mark.set(`chat of ${user.get()}`)
    for await (const _ of requests) yield tell()
  },
}

async function replyOf(client: OrdersClient, method: keyof OrdersClient, headers: Record<string, string>) {
  if (method === 'unary') return (await client.unary({ value: 'tea' }, { headers })).value
  if (method === 'upload') return (await client.upload(streamOf('a', 'b'), { headers })).value
  const stream =
    method === 'download'
      ? client.download({ value: 'tea' }, { headers })
      : client.chat(streamOf('a', 'b'), { headers })
  return (await textsOf(stream)).at(-1) ?? ''
}

describe.each<[name: string, serveOrders: Serve]>([
  ['alone', alone],
  ['below the middleware for node:http', belowNodeHttp],
  ['below the plugin for Fastify', belowFastify],
])('connectServerInterceptor %s', (_name, serveOrders) => {
  describe.each(transports)('%s', (transport) => {
    it('has in each unit what a trusted peer sends, and keeps thirty calls apart, of each kind', async () => {
      const url = await serveOrders(implementation, trusting, transport)
      const client = connectTo(url, [], transport)
      const kinds: (keyof OrdersClient)[] = ['unary', 'upload', 'download']
      if (transport !== 'Connect over HTTP/1.1') kinds.push('chat')

      for (const kind of kinds) {
        const names = Array.from({ length: 30 }, (_, i) => `user-${i}`)
        const replies = await Promise.all(
          names.map((name) => replyOf(client, kind, { ...ids, baggage: `user=${name}` })),
        )

        expect(replies).toEqual(
          names.map((name) => {
            const expected = `${kind} of ${name}${kind === 'upload' ? '++' : ''}`
            return `${name} request-1 0af7651916cd43dd8448eb211c80319c ${expected}`
          }),
        )
      }
    })

    it('drops the values of a unit with its call', async () => {
      const late: (() => unknown)[] = []
      const look = () => {
        user.set('ann')
        late.push(bind(() => user.get()))
      }
      const onLateUse = () => {}
      const url = await serveOrders(
        {
          unary: () => (look(), tell()),
          async *download() {
            look()
            yield tell()
          },
        },
        { onLateUse },
        transport,
      )
      const client = connectTo(url, [], transport)

      await client.unary({ value: '' })
      await textsOf(client.download({ value: '' }))

      await expect.poll(() => late.map((read) => read())).toEqual([undefined, undefined])
    })

    it('aborts what is tied to the request if the client cancels, and keeps the values for the handler', async () => {
      const seen: unknown[] = []
      const [started, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const url = await serveOrders(
        {
          async *download(_request, { signal }) {
            user.set('ann')
            spawn(({ signal: own }) => new Promise<void>((resolve) => {
              own.addEventListener('abort', () => resolve(void seen.push(own.reason)))
            }), { name: 'tied', cancelWith: 'request' }) // prettier-ignore
            yield tell()
            started.resolve()
            signal.addEventListener('abort', () => seen.push(`listener of ${user.get()}`))
            await new Promise((resolve) => signal.addEventListener('abort', resolve))
            await go.promise
            seen.push(user.get())
          },
        },
        {},
        transport,
      )
      const client = connectTo(url, [], transport)
      const cancel = new AbortController()
      const call = textsOf(client.download({ value: '' }, { signal: cancel.signal }))
      await started.promise

      cancel.abort()
      await expect(call).rejects.toMatchObject({ code: Code.Canceled })
      const reason = expect.objectContaining({ code: 'LCTX_CLIENT_GONE' })
      await expect.poll(() => seen).toHaveLength(2)
      expect(seen).toEqual(expect.arrayContaining([reason, 'listener of ann']))
      go.resolve()

      await expect.poll(() => seen[2]).toBe('ann')
    })

    it('aborts the signal of the unit at the deadline of the call', async () => {
      const aborted = Promise.withResolvers<unknown>()
      const url = await serveOrders(
        {
          async unary(_request, { signal }) {
            const own = currentSignal() as AbortSignal
            own.addEventListener('abort', () => aborted.resolve(own.reason))
            await new Promise((resolve) => signal.addEventListener('abort', resolve))
            return tell()
          },
        },
        { onRefusal() {} },
        transport,
      )

      const call = connectTo(url, [], transport).unary({ value: '' }, { timeoutMs: 50 })

      await expect(call).rejects.toMatchObject({ code: Code.DeadlineExceeded })
      expect(await aborted.promise).toMatchObject({ code: expect.stringMatching(/LCTX_TIMEOUT|LCTX_CLIENT_GONE/) })
    })
  })
})

describe('connectServerInterceptor', () => {
  const interceptorOf = (options?: InboundOptions) => {
    const interceptor = connectServerInterceptor(options)
    return { interceptors: [interceptor], contextValues: interceptor.contextValues, inbound: interceptor.inbound }
  }
  const headers = { baggage: 'user=ann' }

  it('takes no values from a peer that is not trusted, and counts', async () => {
    const onRefusal = vi.fn()
    const { inbound, ...options } = interceptorOf({ propagators, onRefusal })
    const { url } = await serve(implementation, options)

    const { value } = await connectTo(url).unary({ value: '' }, { headers })

    expect(value).toMatch(/^undefined [\da-f-]{36} /)
    expect(onRefusal).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ field: 'baggage', address: '127.0.0.1' }),
    )
    expect(inbound.peers.counters.refused).toBe(1)
  })

  it('has no address of the peer without its context values: only a function can trust it', async () => {
    const ask = async (trust: InboundOptions['trust']) => {
      const interceptors = [connectServerInterceptor({ propagators, trust, onRefusal() {} })]
      const { url } = await serve(implementation, { interceptors })
      return (await connectTo(url).unary({ value: '' }, { headers })).value.split(' ')[0]
    }

    expect([await ask('loopback'), await ask(() => true)]).toEqual(['undefined', 'ann'])
  })

  it('keeps the context values of the program', async () => {
    const key = { id: Symbol('key'), defaultValue: 'default' }
    const { interceptors, contextValues } = interceptorOf()
    const { url } = await serve(
      {
        unary: (_request, { values }) => {
          const set = values.get(key)
          return { value: `${set} ${values.delete(key).get(key)}` }
        },
      },
      { interceptors, contextValues: (request) => contextValues(request).set(key, 'set') },
    )

    expect(await connectTo(url).unary({ value: '' })).toMatchObject({ value: 'set default' })
  })

  it('puts the deadline of a trusted peer into the unit', async () => {
    const left: number[] = []
    const options = interceptorOf({ propagators: [...propagators, requestTimeout()], trust: 'loopback' })
    const { url } = await serve(
      {
        unary: () => {
          left.push((deadline.get() ?? Number.NaN) - Date.now())
          return tell()
        },
      },
      options,
    )

    await connectTo(url).unary({ value: '' }, { timeoutMs: 5000 })
    await connectTo(url).unary({ value: '' })

    expect(left[0]).toBeGreaterThan(3000)
    expect(left[0]).toBeLessThanOrEqual(5000)
    expect(left[1]).toBeNaN()
  })

  it.each<[name: string, wrap: boolean]>([
    ['alone', false],
    ['below a middleware', true],
  ])('sets the policy of tasks, %s', async (_name, isBelow) => {
    const { interceptors } = interceptorOf({ policy: 'isolate' })
    const { url } = await serve(
      {
        async unary() {
          user.set('ann')
          return { value: await spawn(() => user.get() ?? 'nothing').result() }
        },
      },
      { interceptors, ...(isBelow && { wrap: (listener) => logicalContext(listener, { logger: silent }) }) },
    )

    expect(await connectTo(url).unary({ value: '' })).toMatchObject({ value: 'nothing' })
  })

  it('fails the calls below a middleware if it has other options, and prints why', async () => {
    const print = vi.spyOn(console, 'error').mockReturnValue()
    onTestFinished(() => print.mockRestore())
    const { interceptors } = interceptorOf(trusting)
    const { url } = await serve(implementation, {
      interceptors,
      wrap: (listener) => logicalContext(listener, { logger: silent }),
    })

    await expect(connectTo(url).unary({ value: '' })).rejects.toMatchObject({ code: Code.Internal })
    expect(print.mock.calls[0]?.[0]).toMatch(
      /has a unit already.*Below a middleware or a second time, it takes the option policy only/,
    )
  })

  it('passes failures on, of calls and of streams', async () => {
    const { url } = await serve(
      {
        unary: () => {
          throw new Error('secret')
        },
        async *download() {
          yield tell()
          throw new Error('secret')
        },
      },
      interceptorOf(),
    )
    const client = connectTo(url)

    await expect(client.unary({ value: '' })).rejects.toMatchObject({ message: '[internal] internal error' })
    await expect(textsOf(client.download({ value: '' }))).rejects.toMatchObject({ code: Code.Internal })
  })

  it('runs the interceptors after it in the unit', async () => {
    const seen: unknown[] = []
    const after: Interceptor = (next) => async (request) => {
      seen.push(user.get())
      const response = await next(request)
      seen.push(mark.get())
      return response
    }
    const { interceptors, contextValues } = interceptorOf(trusting)
    const { url } = await serve(implementation, { interceptors: [...interceptors, after], contextValues })

    await connectTo(url).unary({ value: '' }, { headers })

    expect(seen).toEqual(['ann', 'unary of ann'])
  })

  it('opens another unit for a call in memory, made by a handler', async () => {
    const transport = createRouterTransport((router) => router.service(Orders, implementation), {
      router: { interceptors: [connectServerInterceptor()] },
    })
    const { interceptors, contextValues } = interceptorOf(trusting)
    const { url } = await serve(
      {
        async upload() {
          const { value } = await createClient(Orders, transport).unary({ value: '' })
          return { value: `${user.get()} ${mark.get()}, ${value.split(' ')[0]}` }
        },
      },
      { interceptors, contextValues },
    )

    expect(await connectTo(url).upload(streamOf(), { headers })).toMatchObject({ value: 'ann undefined, undefined' })
  })

  it('opens another unit for a call of the same method in memory', async () => {
    const seen: unknown[] = []
    const implementation: Implementation = {
      async unary({ value }) {
        seen.push(user.get())
        user.set(value)
        if (value === 'outer') await createClient(Orders, transport).unary({ value: 'inner' })
        seen.push(user.get())
        return { value }
      },
    }
    const transport = createRouterTransport((router) => router.service(Orders, implementation), {
      router: { interceptors: [connectServerInterceptor()] },
    })
    const { url } = await serve(implementation, {
      interceptors: [connectServerInterceptor()],
      wrap: (listener) => logicalContext(listener, { logger: silent }),
    })

    await connectTo(url).unary({ value: 'outer' })

    expect(seen).toEqual([undefined, undefined, 'inner', 'outer'])
  })

  it.each<[name: string, isBelow: boolean]>([
    ['alone', false],
    ['below a middleware', true],
  ])('continues in the unit of a call that has it twice, %s, and sets its policy', async (_name, isBelow) => {
    const set: Interceptor = (next) => (request) => {
      user.set('ann')
      return next(request)
    }
    const { url } = await serve(
      { unary: async () => ({ value: `${user.get()} ${await spawn(() => user.get()).result()}` }) },
      {
        interceptors: [connectServerInterceptor(), set, connectServerInterceptor({ policy: 'isolate' })],
        ...(isBelow && { wrap: (listener) => logicalContext(listener, { logger: silent }) }),
      },
    )

    expect(await connectTo(url).unary({ value: '' })).toMatchObject({ value: 'ann undefined' })
  })

  it('keeps the values for a listener around the adapter that continues after the call', async () => {
    const late = Promise.withResolvers<unknown>()
    const { url } = await serve(implementation, {
      interceptors: [connectServerInterceptor()],
      wrap: (listener) =>
        logicalContext(
          async (request: IncomingMessage, response: ServerResponse) => {
            user.set('ann')
            listener(request, response)
            await once(response, 'close')
            await delay(1)
            late.resolve(user.get())
          },
          { logger: silent },
        ),
    })

    await connectTo(url).unary({ value: '' })

    expect(await late.promise).toBe('ann')
  })

  it.each<[name: string, isBelow: boolean]>([
    ['alone', false],
    ['below a middleware', true],
  ])('aborts the unit for the reason of the shutdown signal of the adapter, %s', async (_name, isBelow) => {
    const shutdown = new AbortController()
    const started = Promise.withResolvers<void>()
    const { interceptors, contextValues } = interceptorOf()
    const { url } = await serve(
      {
        async unary() {
          const signal = currentSignal() as AbortSignal
          started.resolve()
          await once(signal, 'abort')
          throw signal.reason
        },
      },
      {
        interceptors,
        contextValues,
        shutdownSignal: shutdown.signal,
        ...(isBelow && { wrap: (listener) => logicalContext(listener, { logger: silent }) }),
      },
    )
    const call = connectTo(url).unary({ value: '' })
    await started.promise

    shutdown.abort(new ConnectError('The server closes.', Code.Unavailable))

    await expect(call).rejects.toMatchObject({ code: Code.Unavailable })
  })

  it('is drained by the close of the server below a middleware: streams end, and tasks', async () => {
    const [started, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const order: string[] = []
    const { url, server } = await serve(
      {
        async *download() {
          yield tell()
          started.resolve()
          await go.promise
          spawn(async () => {
            await delay(10)
            order.push('task')
          })
          yield { value: 'last' }
        },
      },
      {
        interceptors: [connectServerInterceptor()],
        wrap: (listener) => logicalContext(listener, { logger: silent }),
      },
    )
    const stream = textsOf(connectTo(url).download({ value: '' }))
    await started.promise

    const closed = new Promise((resolve) => server.close(resolve)).then(() => order.push('closed'))
    go.resolve()

    expect((await stream).at(-1)).toBe('last')
    await closed
    expect(order).toEqual(['task', 'closed'])
  })

  it('ends a generator in its unit if the client disconnects before a pipelined reply is sent', async () => {
    const ended = Promise.withResolvers<unknown>()
    let reply: ServerResponse | undefined
    const { url } = await serve(
      {
        async *download() {
          user.set('ann')
          try {
            yield { value: 'x'.repeat(100_000) }
          } finally {
            ended.resolve(user.get())
          }
        },
      },
      {
        interceptors: [connectServerInterceptor()],
        wrap: (listener) =>
          logicalContext(
            (request: IncomingMessage, response: ServerResponse) => {
              if (request.url === '/never') return
              reply = response
              listener(request, response)
            },
            { logger: silent },
          ),
      },
    )
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    const head = 'host: x\r\ncontent-type: application/connect+json\r\ncontent-length: 7'
    socket.write('GET /never HTTP/1.1\r\nhost: x\r\n\r\n')
    socket.write(`POST /shop.Orders/Download HTTP/1.1\r\n${head}\r\n\r\n\0\0\0\0\x02""`)
    await expect.poll(() => reply?.writableNeedDrain).toBe(true)

    socket.destroy()

    expect(await ended.promise).toBe('ann')
  })

  it('ends the unit of a stream that is not read, because an interceptor before it failed', async () => {
    let read: (() => unknown) | undefined
    const fail: Interceptor = (next) => async (request) => {
      await next(request)
      throw new ConnectError('denied', Code.PermissionDenied)
    }
    const look: Interceptor = (next) => (request) => {
      user.set('ann')
      read = bind(() => user.get())
      return next(request)
    }
    const { url } = await serve(implementation, {
      interceptors: [fail, connectServerInterceptor(), look],
      wrap: (listener) => logicalContext(listener, { logger: silent, onLateUse() {} }),
    })

    await expect(textsOf(connectTo(url).download({ value: '' }))).rejects.toMatchObject({ code: Code.PermissionDenied })

    await expect.poll(() => read?.()).toBeUndefined()
  })

  it('does not keep the values for a handler that never settles after a disconnect', async () => {
    const print = vi.spyOn(console, 'error').mockReturnValue()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => {
      vi.useRealTimers()
      print.mockRestore()
    })
    const [started, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let read: (() => unknown) | undefined
    const { url } = await serve(
      {
        unary: (_request, { signal }) => {
          user.set('ann')
          read = bind(() => user.get())
          signal.addEventListener('abort', () => gone.resolve())
          started.resolve()
          return new Promise(() => {})
        },
      },
      interceptorOf({ onLateUse() {} }),
    )
    const cancel = new AbortController()
    const call = connectTo(url).unary({ value: '' }, { signal: cancel.signal })
    await started.promise

    cancel.abort()
    await expect(call).rejects.toMatchObject({ code: Code.Canceled })
    await gone.promise
    const kept = read?.()
    vi.advanceTimersByTime(10_000)

    expect([kept, read?.()]).toEqual(['ann', undefined])
    expect(print.mock.calls[0]?.[0]).toMatch(/the handler of \/shop.Orders\/Unary of .* had not ended 10000 ms/)
  })

  it('throws a TypeError for an option that is unknown', () => {
    expect(() => connectServerInterceptor({ trusted: [] } as never)).toThrow(
      "connectServerInterceptor: unknown option 'trusted'",
    )
  })
})
