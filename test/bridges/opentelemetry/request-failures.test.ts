import { setTimeout as sleep } from 'node:timers/promises'
import http from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import * as api from '@opentelemetry/api'
import { Hono } from 'hono'
import hono from 'logical-context/middleware/hono'
import { describe, expect, it, onTestFinished } from 'vitest'
import { closeOf, listen, urlOf } from '../../contracts/node-server.ts'
import { setUpSdk } from './sdk.ts'
import { sealed, shop } from './shop.ts'

const { ERROR, UNSET } = api.SpanStatusCode

describe('openTelemetry, the span of a request', () => {
  it('has the exception, and an error status, where the server has failed it', async () => {
    const { span } = setUpSdk({ requestSpans: true })
    const { get } = await shop((app) => {
      app.get('/bad', () => Promise.reject(new RangeError('no')))
      app.get('/down', (_, reply) => reply.code(503).send())
    })

    await get('/bad')
    await get('/down')

    expect(span('GET /bad').status).toEqual({ code: ERROR, message: 'no' })
    expect(span('GET /bad').attributes).toMatchObject({ 'error.type': '500', 'http.response.status_code': 500 })
    expect(span('GET /bad').events).toMatchObject([
      { name: 'exception', attributes: { 'exception.type': 'RangeError', 'exception.message': 'no' } },
    ])
    expect(span('GET /down').status).toEqual({ code: ERROR })
    expect(span('GET /down').attributes['error.type']).toBe('503')
    expect(span('GET /down').events).toEqual([])
  })

  it('has the exception that Hono has replied to', async () => {
    const { span } = setUpSdk({ requestSpans: true })
    const app = new Hono()
    app.use(hono())
    app.get('/bad', () => Promise.reject(new RangeError('no')))
    app.onError((_error, c) => c.text('failed', 500))
    const server = await listen(createAdaptorServer({ fetch: app.fetch }) as http.Server)
    onTestFinished(() => closeOf(server))

    const end = sealed(1)
    await fetch(`${urlOf(server)}/bad`)
    await end

    expect(span('GET /bad').status).toEqual({ code: ERROR, message: 'no' })
    expect(span('GET /bad').events).toMatchObject([{ attributes: { 'exception.type': 'RangeError' } }])
  })

  it('has none where it is the client who has done wrong, by an error or by a reply', async () => {
    const { span } = setUpSdk({ requestSpans: true })
    const { get } = await shop((app) => {
      app.get('/thrown', () => Promise.reject(Object.assign(new Error('what?'), { statusCode: 422 })))
      app.get('/sent', (_, reply) => reply.code(404).send())
    })

    await get('/thrown')
    await get('/sent')

    for (const name of ['GET /thrown', 'GET /sent']) {
      expect(span(name).status).toEqual({ code: UNSET })
      expect(span(name).events).toEqual([])
      expect(span(name).attributes).not.toHaveProperty(['error.type'])
    }
  })

  it('records that the client disconnected, which is not an error, and that the work failed by itself, which is one', async () => {
    const { span } = setUpSdk({ requestSpans: true })
    let arrived = Promise.withResolvers<void>()
    const { url } = await shop((app) => {
      app.get('/stopped', async ({ requestScope: scope }) => {
        arrived.resolve()
        await sleep(10_000, undefined, { signal: scope.signal })
      })
      app.get('/failed', async ({ requestScope: scope }) => {
        arrived.resolve()
        await sleep(10_000, undefined, { signal: scope.signal }).catch(() => {})
        throw new RangeError('of itself')
      })
    })

    for (const path of ['/stopped', '/failed']) {
      const end = sealed(1)
      arrived = Promise.withResolvers()
      const call = http.get(url + path).on('error', () => {})
      await arrived.promise
      call.destroy()
      await end
    }

    expect(span('GET /stopped').attributes).toMatchObject({ 'logical_context.abort_reason': 'LCTX_CLIENT_GONE' })
    expect(span('GET /stopped').status).toEqual({ code: UNSET })
    expect(span('GET /stopped').events).toEqual([])
    expect(span('GET /failed').attributes).toMatchObject({
      'logical_context.abort_reason': 'LCTX_CLIENT_GONE',
      'error.type': 'RangeError',
    })
    expect(span('GET /failed').status).toEqual({ code: ERROR, message: 'of itself' })
    expect(span('GET /stopped').attributes).not.toHaveProperty(['http.response.status_code'])
  })
})
