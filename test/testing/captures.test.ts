import Fastify from 'fastify'
import { ContextVar, LogicalContext, run } from 'logical-context'
import { contextLogger } from 'logical-context/bridges/pino'
import { contextFetch } from 'logical-context/clients/fetch'
import logicalContext from 'logical-context/middleware/fastify'
import { w3cBaggage, w3cTraceContext } from 'logical-context/propagators'
import { captureLog, captureRequests, extractFrom, fakeCarrier, injectInto, sendRequest } from 'logical-context/testing'
import { pino } from 'pino'
import { describe, expect, it, onTestFinished } from 'vitest'

const tenant = new ContextVar<string>('tenant')

describe('captureLog', () => {
  it('captures the lines of pino and of Fastify', async () => {
    const log = captureLog()
    const app = Fastify({ loggerInstance: contextLogger(pino({}, log), { fields: { tenant } }) })
    onTestFinished(() => app.close())
    await app.register(logicalContext)
    app.get('/', async (request) => {
      request.log.info('served')
      return {}
    })

    await sendRequest(app, { values: LogicalContext.empty.with(tenant, 'acme') })

    const served = log.lines.find(({ msg }) => msg === 'served')
    expect(served?.['tenant']).toBe('acme')
    expect(log.linesWith({ request_id: served?.['request_id'] }).map(({ msg }) => msg)).toEqual([
      'incoming request',
      'served',
      'request completed',
    ])
  })

  it('joins texts to lines, and keeps lines that are not JSON', () => {
    const log = captureLog()

    for (const text of ['{"msg":"a"}\n{"ms', 'g":"b"}\n', 'plain\n', '7\n']) log.write(text)

    expect(log.lines).toEqual([{ msg: 'a' }, { msg: 'b' }, { msg: 'plain' }, { msg: '7' }])
  })

  it('keeps a last line without a newline, until a later text completes it', () => {
    const log = captureLog()
    const { lines } = log

    log.write('{"msg":"a"}\n{"msg":"b"}')
    expect(lines).toEqual([{ msg: 'a' }, { msg: 'b' }])
    log.write('\npla')
    expect(lines).toEqual([{ msg: 'a' }, { msg: 'b' }, { msg: 'pla' }])
    log.write('in\n')

    expect(lines).toEqual([{ msg: 'a' }, { msg: 'b' }, { msg: 'plain' }])
  })

  it('removes the lines so far, also a last one without a newline', () => {
    const log = captureLog()
    log.write('{"msg":"a"}\n{"msg":"b"}')

    log.clear()
    log.write('{"msg":"c"}\n')

    expect(log.lines).toEqual([{ msg: 'c' }])
  })
})

describe('captureRequests', () => {
  it('captures what a client sends, over a socket', async () => {
    await using service = await captureRequests(() => ({ status: 201, body: { id: 7 } }))
    const client = contextFetch.with({
      propagators: [w3cBaggage({ members: { tenant } })],
      values: ['127.0.0.1'],
    })

    const response = await run(LogicalContext.empty.with(tenant, 'acme'), () =>
      client(`${service.url}/orders?n=1`, { method: 'POST', body: 'three' }),
    )

    expect([response.status, await response.json()]).toEqual([201, { id: 7 }])
    expect(service.requests.map(({ method, url, body }) => [method, url, body])).toEqual([
      ['POST', '/orders?n=1', 'three'],
    ])
    expect(service.requests[0]?.headers['baggage']).toBe('tenant=acme')
  })

  it.each<[name: string, reply: () => unknown, message: string]>([
    ['a failure of the reply', () => Promise.reject(new Error('planted')), 'Error: planted'],
    ['a status that is not one', () => ({ status: 99 }), 'RangeError [ERR_HTTP_INVALID_STATUS_CODE]'],
    ['a header with a line break', () => ({ headers: { 'x-a': 'a\nb' } }), 'TypeError [ERR_INVALID_CHAR]'],
    ['a body that is not JSON', () => ({ body: 7n }), 'TypeError: Do not know how to serialize a BigInt'],
    [
      'an unknown property',
      () => ({ statusCode: 201 }),
      "TypeError: captureRequests: a reply: unknown option 'statusCode', expected one of: status, headers, body.",
    ],
    ['a text', () => 'ok', "TypeError: captureRequests: a reply: expected an options object, got 'ok'."],
  ])('answers %s with the status 500', async (_, reply, message) => {
    await using service = await captureRequests(reply as never)

    const response = await fetch(service.url)

    expect(response.status).toBe(500)
    expect(await response.json()).toEqual({ message: expect.stringContaining(message) as unknown })
  })

  it('answers with the defaults if the reply returns nothing', async () => {
    await using service = await captureRequests((() => {}) as never)

    const response = await fetch(service.url)

    expect([response.status, await response.json()]).toEqual([200, {}])
  })

  it('closes its server once', async () => {
    const service = await captureRequests()

    await service.close()
    await service.close()

    await expect(fetch(service.url)).rejects.toThrow('fetch failed')
  })
})

describe('fakeCarrier', () => {
  it('reads, writes and records the names of fields', () => {
    const carrier = fakeCarrier({ Baggage: 'tenant=acme' })

    expect([carrier.get('baggage'), carrier.has('b3')]).toEqual(['tenant=acme', false])
    carrier.set('b3', '0')

    expect([carrier.read, carrier.written]).toEqual([['baggage', 'b3'], ['b3']])
    expect(carrier.fields).toEqual({ baggage: 'tenant=acme', b3: '0' })
  })
})

describe('extractFrom and injectInto', () => {
  const propagator = w3cBaggage({ members: { tenant } })

  it('use a peer and a destination that allow everything', () => {
    const { context } = extractFrom(propagator, { baggage: 'tenant=acme' })

    expect(context.get(tenant)).toBe('acme')
    expect(injectInto(propagator, context).headers).toEqual({ baggage: 'tenant=acme' })
  })

  it('return refusals', () => {
    expect(extractFrom(propagator, { baggage: 'tenant=acme' }, { values: false }).refusals).toEqual(['refused baggage'])
    expect(extractFrom(w3cTraceContext(), { traceparent: 'x' }).refusals).toEqual(['malformed traceparent'])
  })
})
