import awsLambdaFastify from '@fastify/aws-lambda'
import Fastify from 'fastify'
import { ContextVar, spawn } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { Inbound, type InboundOptions, type SocketlessMessage } from 'logical-context/middleware/inbound'
import { w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { requestId, traceContext } from 'logical-context/variables'
import { describe, expect, it, vi } from 'vitest'

const user = new ContextVar<string>('user')
const traceId = 'abcdef01234567891234567891234567'
const traceparent = `00-${traceId}-53995c3f42cd8ad8-01`
const propagators = [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { user } })]

/** What the unit of an event reads. */
function readIn(headers: SocketlessMessage['headers'], options: InboundOptions = {}) {
  const inbound = new Inbound({ propagators, onRefusal() {}, ...options })
  using scope = inbound.open('event', { headers })
  return scope.run(() => ({
    trace: traceContext.get()?.traceId === traceId,
    id: requestId.get(),
    user: user.get(),
    refused: inbound.peers.counters.refused,
  }))
}

describe('Inbound.open, for a message without a socket', () => {
  const entries = { TraceParent: traceparent, 'X-Request-Id': 'r-1', Baggage: 'user=ann' }

  it.each<[string, SocketlessMessage['headers']]>([
    ['an object in any case', entries],
    ['an object with arrays', { traceparent: [traceparent], 'x-request-id': ['r-1'], baggage: ['user=ann'] }],
    ['Headers', new Headers(entries)],
  ])('reads the headers of %s as `trust` allows', (_name, headers) => {
    const byDefault = readIn(headers)
    const trusting = readIn(headers, { trust: () => true })
    const seen = vi.fn<(...args: unknown[]) => void>()
    readIn(headers, { trust: ({ headers: read, socket }) => (seen(read['traceparent'], socket.remoteAddress), false) })

    expect(byDefault).toMatchObject({ trace: false, user: undefined, refused: 3 })
    expect(trusting).toEqual({ trace: true, id: 'r-1', user: 'ann', refused: 0 })
    expect(seen).toHaveBeenCalledWith(traceparent, undefined)
  })

  it.each([undefined, null, 'headers'])('throws a TypeError for a message that is %s', (message) => {
    expect(() => new Inbound().open('job', message as never)).toThrow(
      /^Inbound\.open: expected a message with headers, got (?:undefined|null|'headers')\.$/,
    )
  })

  it.each<[string, unknown]>([
    ['null', null],
    ['undefined', undefined],
    ['names such as __proto__', JSON.parse('{ "__proto__": "x", "constructor": "y" }')],
    ['values that are not text', { traceparent: 7, baggage: {}, 'x-request-id': null }],
    [
      'names that differ in case only',
      { traceparent, TRACEPARENT: traceparent, 'x-request-id': 'a', 'X-Request-Id': 'b' },
    ],
  ])('accepts headers that are or have %s, and begins a new trace', (_name, headers) => {
    const read = readIn(headers as SocketlessMessage['headers'], { trust: () => true })

    expect(read).toEqual({ trace: false, id: expect.stringMatching(/^[\da-f-]{36}$/), user: undefined, refused: 0 })
  })
})

describe('the Fastify plugin, under @fastify/aws-lambda', () => {
  it('keeps events that run at the same time apart, and can be drained for each', async () => {
    const ended: unknown[] = []
    const app = Fastify()
    await app.register(logicalContext, { trust: () => ({ trace: 'continue', values: false }) })
    app.addHook('onRequest', async ({ headers }) => user.set(String(headers['x-user'])))
    app.post('/orders', async () => {
      spawn(() => ended.push(`${user.get()} ${requestId.get()}`), { after: 'response' })
      return { user: user.get() }
    })
    const proxy = awsLambdaFastify(app)
    const handle = async (name: string) => {
      const reply = await proxy(
        {
          version: '2.0',
          routeKey: 'POST /orders',
          rawPath: '/orders',
          headers: { 'x-user': name },
          requestContext: { requestId: `id-of-${name}`, http: { method: 'POST', sourceIp: '203.0.113.9' } },
        },
        {},
      )
      await app.requestScopes.group.drain()
      return [reply.body, reply.headers['x-request-id'], ended.includes(`${name} id-of-${name}`)]
    }

    const replies = await Promise.all(['ann', 'bob'].map(handle))
    const next = await handle('cleo')

    expect([...replies, next]).toEqual(
      ['ann', 'bob', 'cleo'].map((name) => [`{"user":"${name}"}`, `id-of-${name}`, true]),
    )
  })
})
