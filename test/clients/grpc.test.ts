import { once } from 'node:events'
import {
  type CallOptions,
  type ClientOptions,
  InterceptingCall,
  type Interceptor,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js'
import { bind } from 'logical-context'
import { grpcClientInterceptor } from 'logical-context/clients/grpc'
import { deadline } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import { asCaller, propagators, traceparentOf, user } from './caller.ts'
import { connectTo, type Implementation, type OrdersClient, serve } from './grpc-service.ts'
import { setEnvironment, startProxy } from './proxy.ts'

/** Replies to every call with its metadata as JSON; `slow` never replies. */
function echo(received: Metadata[] = []): Implementation {
  const reply = ({ metadata }: { metadata: Metadata }) => {
    received.push(metadata)
    return JSON.stringify(metadata.getMap())
  }
  return {
    unary: (call, callback) => void (call.request === 'slow' || setTimeout(callback, 2, null, reply(call))),
    upload: (call, callback) => void call.on('data', () => {}).on('end', () => callback(null, reply(call))),
    download: (call) => {
      call.write(reply(call))
      setTimeout(() => call.end(), 2)
    },
    chat: (call) => void call.on('data', () => call.write(reply(call))).on('end', () => call.end()),
  }
}

/** Makes a unary call; returns the arguments of the callback and the user of its context. */
function unary(
  client: OrdersClient,
  request = 'tea',
  metadata = new Metadata(),
  options: CallOptions = {},
): Promise<{ reply: Record<string, string>; seen: string | undefined }> {
  const { promise, resolve, reject } = Promise.withResolvers<{
    reply: Record<string, string>
    seen: string | undefined
  }>()
  client['unary']?.(request, metadata, options, (error: ServiceError | null, reply: string) => {
    const seen = user.get()
    if (error === null) resolve({ reply: JSON.parse(reply) as Record<string, string>, seen })
    else reject(Object.assign(error, { seen }))
  })
  return promise
}

const toLoopback = () => grpcClientInterceptor({ propagators, values: ['127.0.0.1'] })

describe('grpcClientInterceptor', () => {
  it('sends trace and request id, and values to the listed hosts', async () => {
    const port = await serve(echo())
    const open = connectTo(`127.0.0.1:${port}`, { interceptors: [grpcClientInterceptor({ propagators })] })
    const listed = connectTo(`127.0.0.1:${port}`, { interceptors: [toLoopback()] })

    const [expected, first, second] = await asCaller(async (trace) => [
      traceparentOf(trace),
      await unary(open),
      await unary(listed),
    ])

    expect(first.reply).toMatchObject({ traceparent: expected, 'x-request-id': 'request-of-ann' })
    expect(first.reply).not.toHaveProperty('baggage')
    expect(second.reply).toMatchObject({ traceparent: expected, baggage: 'tenant=acme,user=ann' })
  })

  it.each<[kind: string, make: (client: OrdersClient) => Promise<string>]>([
    ['a client stream', (client) => {
      const { promise, resolve } = Promise.withResolvers<string>()
      const call = client['upload']?.((_error: unknown, reply: string) => resolve(`${user.get()} ${reply}`))
      call.write('tea')
      call.end()
      return promise
    }], // prettier-ignore
    ['a server stream', async (client) => {
      const call = client['download']?.('tea')
      const [reply] = await new Promise<string[]>((resolve) => call.on('data', (data: string) => resolve([`${user.get()} ${data}`])))
      await once(call, 'end')
      return reply as string
    }], // prettier-ignore
    ['a stream both ways', async (client) => {
      const call = client['chat']?.()
      call.write('tea')
      const reply = await new Promise<string>((resolve) => call.on('data', (data: string) => resolve(`${user.get()} ${data}`)))
      const ended = once(call, 'status')
      call.end()
      await ended
      return reply
    }], // prettier-ignore
  ])('works for %s', async (_, make) => {
    const port = await serve(echo())
    const client = connectTo(`127.0.0.1:${port}`, { interceptors: [toLoopback()] })

    const reply = await asCaller(() => make(client))

    expect(reply).toContain('"baggage":"tenant=acme,user=ann"')
    expect(reply).toMatch(/^ann /)
  })

  it('keeps the metadata of the caller, duplicates none, and does not change the object', async () => {
    const received: Metadata[] = []
    const port = await serve(echo(received))
    const client = connectTo(`127.0.0.1:${port}`, { interceptors: [toLoopback(), toLoopback()] })
    const metadata = new Metadata()
    metadata.set('Baggage', 'mine=1')

    await asCaller(() => unary(client, 'tea', metadata))

    expect(received[0]?.get('baggage')).toEqual(['mine=1'])
    expect(received[0]?.get('traceparent')).toHaveLength(1)
    expect(metadata.getMap()).toEqual({ baggage: 'mine=1' })
  })

  it('calls callbacks in the context of their caller, for forty concurrent calls and for errors', async () => {
    const port = await serve({
      unary: (call, callback) =>
        void setTimeout(() => (call.request === 'fail' ? callback({ code: 5 }) : callback(null, '{}')), 2),
    })
    const client = connectTo(`127.0.0.1:${port}`, { interceptors: [toLoopback()] })

    const seen = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        asCaller(
          () =>
            unary(client, i % 3 === 0 ? 'fail' : 'tea').then(
              (outcome) => outcome.seen,
              (error: { seen: string }) => error.seen,
            ),
          `caller-${i}`,
        ),
      ),
    )

    expect(seen).toEqual(Array.from({ length: 40 }, (_, i) => `caller-${i}`))
  })

  it('control: without it, grpc-js calls callbacks in the context of other calls, unless they are bound', async () => {
    const port = await serve({ unary: (_call, callback) => void setTimeout(() => callback(null, '{}'), 2) })
    const client = connectTo(`127.0.0.1:${port}`)
    const names = Array.from({ length: 40 }, (_, i) => `caller-${i}`)
    const everyone = async (wrap: (callback: () => void) => () => void) => {
      const all = Promise.withResolvers<void>()
      const seen = new Map<string, unknown>()
      const calls = names.map((name) =>
        asCaller(() => {
          const look = () => {
            if (seen.set(name, user.get()).size === names.length) all.resolve()
          }
          client['unary']?.('tea', wrap(look))
          return all.promise
        }, name),
      )
      await Promise.all(calls)
      return names.map((name) => seen.get(name))
    }

    expect(await everyone((callback) => callback)).not.toEqual(names)
    expect(await everyone(bind)).toEqual(names)
  })

  it('emits the events of streams in the context of their caller, for forty concurrent calls', async () => {
    const port = await serve({
      chat: (call) => {
        call.sendMetadata(new Metadata())
        call.on('data', (message: string) => setTimeout(() => call.write(message), 2)).on('end', () => call.end())
      },
    })
    const client = connectTo(`127.0.0.1:${port}`, { interceptors: [toLoopback()] })
    const strays: string[] = []
    const names = Array.from({ length: 40 }, (_, i) => `caller-${i}`)

    await Promise.all(
      names.map((name) =>
        asCaller(async () => {
          const call = client['chat']?.()
          const look = (event: string) => user.get() === name || strays.push(`${event} of ${name} in ${user.get()}`)
          for (const event of ['metadata', 'data', 'end', 'status']) call.on(event, () => look(event))
          call.write('tea')
          await once(call, 'data')
          call.write('coffee')
          await once(call, 'data')
          call.end()
          await once(call, 'status')
        }, name),
      ),
    )

    expect(strays).toEqual([])
  })

  it('sends the values of its own caller, for forty calls that wait for the connection', async () => {
    const port = await serve(echo())
    const client = connectTo(`127.0.0.1:${port}`, { interceptors: [toLoopback()] })

    const sent = await Promise.all(
      Array.from({ length: 40 }, (_, i) => asCaller(async () => (await unary(client)).reply['baggage'], `caller-${i}`)),
    )

    expect(sent).toEqual(Array.from({ length: 40 }, (_, i) => `tenant=acme,user=caller-${i}`))
  })

  it.each<[name: string, target: (port: number) => string, rule: (port: number) => string, told: boolean]>([
    ['an address', (port) => `127.0.0.1:${port}`, () => '127.0.0.1', true],
    ['a host', (port) => `localhost:${port}`, () => 'localhost', true],
    ['a target with a scheme', (port) => `dns:localhost:${port}`, () => 'localhost', true],
    ['a target with a scheme and slashes', (port) => `dns:///localhost:${port}`, () => 'localhost', true],
    ['an address with a scheme', (port) => `ipv4:127.0.0.1:${port}`, () => '127.0.0.1', true],
    ['a port', (port) => `127.0.0.1:${port}`, (port) => `127.0.0.1:${port}`, true],
    ['another port', (port) => `127.0.0.1:${port}`, () => '127.0.0.1:443', false],
    ['another host', (port) => `127.0.0.1:${port}`, () => 'localhost', false],
    ['a rule with a scheme', (port) => `127.0.0.1:${port}`, (port) => `http://127.0.0.1:${port}`, false],
    ['one of several addresses', (port) => `ipv4:127.0.0.1:${port},127.0.0.1:${port}`, () => '127.0.0.1', false],
  ])('matches the host of the target: %s', async (_, target, rule, told) => {
    const port = await serve(echo())
    const interceptor = grpcClientInterceptor({ propagators, values: [rule(port)] })
    const client = connectTo(target(port), { interceptors: [interceptor], 'grpc.enable_http_proxy': 0 })

    const { reply } = await asCaller(() => unary(client))

    expect(reply['baggage']).toBe(told ? 'tenant=acme,user=ann' : undefined)
    expect(reply).toHaveProperty('traceparent')
  })

  describe('through a proxy', () => {
    const direct = { grpc_proxy: undefined, https_proxy: undefined, http_proxy: undefined, no_grpc_proxy: undefined, no_proxy: undefined } // prettier-ignore
    const target = (port: number) => `orders.internal:${port}`
    /** What the service and the proxy receive of a call to `orders.internal`. */
    const callThrough = async (
      values: string[],
      variable: string,
      interceptors = (own: Interceptor) => [own],
      options: Partial<ClientOptions> = {},
    ) => {
      const [port, proxy] = [await serve(echo()), await startProxy()]
      const own = grpcClientInterceptor({ propagators, values })
      const restore = setEnvironment({ ...direct, [variable]: proxy.url })
      const client = connectTo(target(port), { interceptors: interceptors(own), ...options })
      restore()
      const { reply } = await asCaller(() => unary(client))
      return { baggage: reply['baggage'], traceparent: reply['traceparent'], connects: proxy.connects }
    }
    const other: Interceptor = (options, nextCall) => new InterceptingCall(nextCall(options))

    it.each(['grpc_proxy', 'https_proxy', 'http_proxy'])(
      'of %s, matches the service and not the proxy',
      async (name) => {
        const toProxy = await callThrough(['127.0.0.1', 'localhost'], name)
        const toService = await callThrough(['orders.internal'], name)

        expect(toProxy.baggage).toBe(undefined)
        expect(toProxy.traceparent).toBeDefined()
        expect(toService.baggage).toBe('tenant=acme,user=ann')
        expect(toService.connects).toEqual([
          {
            target: expect.stringMatching(/^orders\.internal:\d+$/),
            headers: expect.not.objectContaining({ baggage: expect.anything() }),
          },
        ])
      },
    )

    it.each<[name: string, interceptors: (own: Interceptor) => Interceptor[]]>([
      ['before', (own) => [own, other, other]],
      ['after', (own) => [other, own]],
    ])('matches the service %s other interceptors', async (_, interceptors) => {
      const toProxy = await callThrough(['127.0.0.1'], 'grpc_proxy', interceptors)
      const toService = await callThrough(['orders.internal'], 'grpc_proxy', interceptors)

      expect([toProxy.baggage, toService.baggage]).toEqual([undefined, 'tenant=acme,user=ann'])
    })

    it('matches the service of a tunnel that the client opens itself', async () => {
      const [port, proxy] = [await serve(echo()), await startProxy()]
      const clientFor = (values: string[]) =>
        connectTo(`127.0.0.1:${proxy.port}`, {
          interceptors: [grpcClientInterceptor({ propagators, values })],
          'grpc.http_connect_target': `dns:${target(port)}`,
        })

      const [toProxy, toService] = await asCaller(async () => [
        await unary(clientFor(['127.0.0.1'])),
        await unary(clientFor(['orders.internal'])),
      ])

      expect([toProxy?.reply['baggage'], toService?.reply['baggage']]).toEqual([undefined, 'tenant=acme,user=ann'])
    })

    it('matches the target if the list of exceptions has the service', async () => {
      const [port, proxy] = [await serve(echo()), await startProxy()]
      const own = grpcClientInterceptor({ propagators, values: ['localhost'] })
      setEnvironment({ ...direct, grpc_proxy: proxy.url, no_grpc_proxy: 'localhost' })

      const { reply } = await asCaller(() => unary(connectTo(`localhost:${port}`, { interceptors: [own] })))

      expect(reply['baggage']).toBe('tenant=acme,user=ann')
      expect(proxy.connects).toEqual([])
    })

    it('sends no values if it cannot see the service', async () => {
      const port = await serve(echo())
      const own = grpcClientInterceptor({ propagators, values: ['127.0.0.1'] })
      /** Hides the call, and with it the channel, as a class of another library may. */
      const hides: Interceptor = (options, nextCall) =>
        new Proxy(nextCall(options) as InterceptingCall, {
          get: (call, name: keyof InterceptingCall) =>
            name in InterceptingCall.prototype ? call[name].bind(call) : undefined,
        })

      const { reply } = await asCaller(() => unary(connectTo(`127.0.0.1:${port}`, { interceptors: [own, hides] })))

      expect(reply['baggage']).toBe(undefined)
      expect(reply['traceparent']).toBeDefined()
    })
  })

  it('applies the earlier of two deadlines', async () => {
    const port = await serve(echo())
    const client = connectTo(`127.0.0.1:${port}`, { interceptors: [toLoopback()] })
    const inherited = (ms: number, options: CallOptions) =>
      asCaller(() => {
        deadline.set(Date.now() + ms)
        return unary(client, 'slow', new Metadata(), options)
      })

    await expect(inherited(20, {})).rejects.toMatchObject({ code: 4 })
    await expect(inherited(20, { deadline: Date.now() + 60_000 })).rejects.toMatchObject({ code: 4 })
    await expect(inherited(60_000, { deadline: new Date(Date.now() + 20) })).rejects.toMatchObject({ code: 4 })
    await expect(inherited(-1, {})).rejects.toMatchObject({ code: 4 })
  })

  it('works before and after other interceptors', async () => {
    const port = await serve(echo())
    const other: Interceptor = (options, nextCall) =>
      new InterceptingCall(nextCall(options), {
        start(metadata, listener, next) {
          metadata.set('x-other', user.get() ?? 'guest')
          next(metadata, listener)
        },
      })

    for (const interceptors of [
      [other, toLoopback()],
      [toLoopback(), other],
    ]) {
      // prettier-ignore
      const { reply, seen } = await asCaller(() => unary(connectTo(`127.0.0.1:${port}`, { interceptors })))

      expect([reply['x-other'], reply['baggage'], seen]).toEqual(['ann', 'tenant=acme,user=ann', 'ann'])
    }
  })

  it('drops and counts a value that is not valid metadata', async () => {
    const port = await serve(echo())
    const interceptor = grpcClientInterceptor({
      propagators: [
        { fields: ['x-a'], extract: (known) => known, inject: (_c, carrier) => carrier.set('x-a', 'a\r\nb: c') },
        { fields: ['x-a-bin'], extract: (known) => known, inject: (_c, carrier) => carrier.set('x-a-bin', 'text') },
      ],
    })

    const { reply } = await asCaller(() => unary(connectTo(`127.0.0.1:${port}`, { interceptors: [interceptor] })))

    expect(Object.keys(reply).filter((name) => name.startsWith('x-'))).toEqual([])
    expect(interceptor.outbound.counters.malformed).toBe(2)
  })

  it('throws a TypeError for an unknown option', () => {
    expect(() => grpcClientInterceptor({ value: [] } as never)).toThrow(TypeError)
    expect(() => grpcClientInterceptor({ value: [] } as never)).toThrow("grpcClientInterceptor: unknown option 'value'")
  })
})
