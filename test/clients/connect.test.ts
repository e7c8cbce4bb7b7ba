import { Code, type Interceptor, type StreamRequest, type UnaryRequest } from '@connectrpc/connect'
import { ContextVar, withTimeout } from 'logical-context'
import { connectClientInterceptor } from 'logical-context/clients/connect'
import { connectServerInterceptor } from 'logical-context/middleware/connect'
import { requestTimeout } from 'logical-context/propagators'
import { deadline } from 'logical-context/variables'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { asCaller, propagators, traceparentOf, user } from './caller.ts'
import {
  connectTo,
  type Implementation,
  type OrdersClient,
  serve,
  streamOf,
  textsOf,
  transports,
} from './connect-service.ts'

type Headers = Record<string, string>

/** Replies to every call with its headers as JSON; `slow` never replies. */
const echo: Implementation = {
  unary: async ({ value }, { requestHeader, signal }) => {
    if (value === 'slow') await aborted(signal)
    return { value: JSON.stringify(Object.fromEntries(requestHeader)) }
  },
  upload: async (requests, { requestHeader }) => {
    const sent = await textsOf(requests)
    return { value: JSON.stringify({ ...Object.fromEntries(requestHeader), sent }) }
  },
  async *download({ value }, { requestHeader, signal }) {
    yield { value: JSON.stringify(Object.fromEntries(requestHeader)) }
    if (value === 'slow') await aborted(signal)
  },
  async *chat(requests, { requestHeader }) {
    for await (const { value } of requests) {
      yield { value: JSON.stringify({ ...Object.fromEntries(requestHeader), sent: value }) }
    }
  },
}

/** A reply at the callee's deadline could come before the caller's. */
async function aborted(signal: AbortSignal): Promise<never> {
  await new Promise((resolve) => signal.addEventListener('abort', resolve))
  throw signal.reason
}

const calls: Record<keyof OrdersClient, (client: OrdersClient) => Promise<string>> = {
  unary: async (client) => (await client.unary({ value: '' })).value,
  upload: async (client) => (await client.upload(streamOf('a', 'b'))).value,
  download: async (client) => (await textsOf(client.download({ value: '' })))[0] ?? '',
  chat: async (client) => (await textsOf(client.chat(streamOf('a', 'b')))).at(-1) ?? '',
}

const toLoopback = () => connectClientInterceptor({ propagators, values: ['127.0.0.1'] })
const parsed = async (reply: Promise<string>) => JSON.parse(await reply) as Headers

describe.each(transports)('connectClientInterceptor, %s', (transport) => {
  const kinds = Object.keys(calls).filter((kind) => kind !== 'chat' || transport !== 'Connect over HTTP/1.1')

  it('sends trace and request id, and values to the listed hosts, for calls of each kind', async () => {
    const { url } = await serve(echo, { transport })
    const open = connectTo(url, [connectClientInterceptor({ propagators })], transport)
    const listed = connectTo(url, [toLoopback()], transport)

    for (const kind of kinds) {
      const call = calls[kind as keyof OrdersClient]
      const [expected, first, second] = await asCaller(async (trace) => [
        traceparentOf(trace),
        await parsed(call(open)),
        await parsed(call(listed)),
      ])

      expect(first).toMatchObject({ traceparent: expected, 'x-request-id': 'request-of-ann' })
      expect(first).not.toHaveProperty('baggage')
      expect(second).toMatchObject({ traceparent: expected, baggage: 'tenant=acme,user=ann' })
    }
  })

  it('sends the remaining time, or the shorter time of the call', async () => {
    const { url } = await serve(echo, { transport })
    const client = connectTo(url, [toLoopback()], transport)
    const field = transport === 'gRPC over HTTP/2' ? 'grpc-timeout' : 'connect-timeout-ms'
    const timeoutOf = async (timeoutMs?: number) =>
      Number.parseInt(
        JSON.parse((await client.unary({ value: '' }, timeoutMs === undefined ? {} : { timeoutMs })).value)[field],
        10,
      )

    const [inherited, shorter, longer] = await asCaller(() =>
      deadline.run(Date.now() + 20_000, async () => [
        await timeoutOf(),
        await timeoutOf(10_000),
        await timeoutOf(60_000),
      ]),
    )

    expect(shorter).toBe(10_000)
    for (const remaining of [inherited, longer]) {
      expect(remaining).toBeGreaterThan(10_000)
      expect(remaining).toBeLessThanOrEqual(20_000)
    }
  })

  it.each<[name: string, call: (client: OrdersClient) => Promise<unknown>]>([
    ['a call', (client) => client.unary({ value: 'slow' })],
    ['a stream', (client) => textsOf(client.download({ value: 'slow' }))],
  ])("ends %s at the caller's deadline, and the callee with it", async (_name, call) => {
    const { url } = await serve(echo, { transport })
    const client = connectTo(url, [toLoopback()], transport)
    await client.unary({ value: '' })

    const failed = asCaller(() => withTimeout(() => call(client), 50))
    const late = asCaller(() => deadline.run(Date.now() + 50, () => call(client)))

    // Either can be the first to reject.
    await Promise.all([
      expect(failed).rejects.toMatchObject({ code: 'LCTX_TIMEOUT' }),
      expect(late).rejects.toMatchObject({ name: 'ConnectError', code: Code.DeadlineExceeded }),
    ])
  })

  it('reads a stream of requests in the context of its caller, of thirty at once', async () => {
    const own = new ContextVar<string>('own')
    async function* requests() {
      for (let i = 0; i < 3; i++) {
        await new Promise((resolve) => setImmediate(resolve))
        yield { value: own.get() ?? 'nothing' }
      }
    }
    const { url } = await serve(echo, { transport })
    const client = connectTo(url, [toLoopback()], transport)
    const names = Array.from({ length: 30 }, (_, i) => `user-${i}`)

    const replies = await Promise.all(
      names.map((name) => own.run(name, async () => parsed(client.upload(requests()).then(({ value }) => value)))),
    )

    expect(replies.map(({ sent }) => sent)).toEqual(names.map((name) => [name, name, name]))
  })

  it('is understood by the interceptor of the server', async () => {
    const interceptor = connectServerInterceptor({
      propagators: [...propagators, requestTimeout()],
      trust: 'loopback',
    })
    const { contextValues } = interceptor
    const { url } = await serve(
      { unary: () => ({ value: `${user.get()} ${(deadline.get() ?? 0) > Date.now()}` }) },
      { transport, interceptors: [interceptor], contextValues },
    )
    const client = connectTo(url, [toLoopback()], transport)

    const { value } = await asCaller(() => deadline.run(Date.now() + 20_000, () => client.unary({ value: '' })))

    expect(value).toBe('ann true')
  })
})

describe('connectClientInterceptor', () => {
  it('keeps the headers of the caller, and does not change them', async () => {
    const { url } = await serve(echo)
    const client = connectTo(url, [toLoopback(), toLoopback()])
    const headers = { Baggage: 'mine=1' }

    const { value } = await asCaller(() => client.unary({ value: '' }, { headers }))

    expect(JSON.parse(value)).toMatchObject({ baggage: 'mine=1', traceparent: expect.not.stringContaining(',') })
    expect(headers).toEqual({ Baggage: 'mine=1' })
  })

  it('writes the headers again for an interceptor before it that makes the call again', async () => {
    const { url } = await serve(echo)
    const values = ['ann', 'bob'].values()
    const twice: Interceptor = (next) => async (request) => {
      await user.run(values.next().value ?? '', () => next(request))
      return user.run(values.next().value ?? '', () => next(request))
    }
    const client = connectTo(url, [twice, toLoopback()])

    const { value } = await asCaller(() => client.unary({ value: '' }))

    expect(JSON.parse(value)).toMatchObject({ baggage: 'tenant=acme,user=bob' })
  })

  it('makes no call after the deadline, and rejects with the reason', async () => {
    let count = 0
    const { url } = await serve({ unary: () => ({ value: String(++count) }) })
    const client = connectTo(url, [toLoopback()])

    const call = asCaller(() => deadline.run(Date.now() - 1, () => client.unary({ value: '' })))

    await expect(call).rejects.toMatchObject({
      code: Code.DeadlineExceeded,
      message: expect.stringContaining("'shop.Orders/Unary' did not end within 0 ms"),
      cause: { code: 'LCTX_TIMEOUT' },
    })
    expect(count).toBe(0)
  })

  it('reports a call that its caller cancelled as cancelled, also with a deadline', async () => {
    const { url } = await serve(echo)
    const client = connectTo(url, [toLoopback()])
    const cancel = new AbortController()

    const call = asCaller(() =>
      deadline.run(Date.now() + 20_000, () => client.unary({ value: 'slow' }, { signal: cancel.signal })),
    )
    setImmediate(() => cancel.abort())

    await expect(call).rejects.toMatchObject({ code: Code.Canceled })
  })

  it('fails a call whose stream of requests fails, and nothing else', async () => {
    const { url } = await serve(echo)
    const client = connectTo(url, [toLoopback()])
    async function* broken() {
      yield { value: 'a' }
      throw new Error('broken')
    }

    await expect(asCaller(() => client.upload(broken()))).rejects.toMatchObject({ name: 'ConnectError' })
  })

  it('clears the timer of the deadline if the reader of a stream stops early', async () => {
    vi.useFakeTimers()
    onTestFinished(() => void vi.useRealTimers())
    const next = vi.fn<(request: UnaryRequest | StreamRequest) => Promise<unknown>>()
    next.mockResolvedValue({ stream: true, message: streamOf('a', 'b') })
    const { signal } = new AbortController()
    const call = { service: { typeName: 'Orders' }, method: { name: 'Download' }, stream: false, signal }
    const request = { ...call, header: new Headers(), url: 'http://127.0.0.1/' } as never as UnaryRequest

    await asCaller(async () => {
      deadline.set(Date.now() + 1000)
      const response = await toLoopback()(next as never)(request)
      for await (const _ of response.message as AsyncIterable<unknown>) break
    })
    vi.advanceTimersByTime(2000)

    expect(next.mock.calls[0]?.[0].signal.aborted).toBe(false)
  })

  it('counts what it did not send', async () => {
    const { url } = await serve(echo)
    const interceptor = toLoopback()
    const client = connectTo(url, [interceptor])

    await asCaller(() => user.run('a\u0000b'.repeat(5000), () => client.unary({ value: '' })))

    expect(Object.values(interceptor.outbound.counters).reduce((sum, count) => sum + count)).toBe(1)
  })

  it('throws a TypeError for an option that is unknown', () => {
    expect(() => connectClientInterceptor({ value: [] } as never)).toThrow(
      "connectClientInterceptor: unknown option 'value'",
    )
  })
})
