import replyFrom from '@fastify/reply-from'
import Fastify from 'fastify'
import { rewriteRequestHeaders, type RewriteRequestHeadersOptions } from 'logical-context/clients/reply-from'
import logicalContext from 'logical-context/middleware/fastify'
import { describe, expect, it, onTestFinished } from 'vitest'
import { asCaller, propagators, tenant, user } from './caller.ts'
import { type Received, upstream } from './upstream.ts'

const spoofed = {
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  tracestate: 'evil=1',
  baggage: 'tenant=evil,user=root',
  'x-request-id': 'spoofed',
}
const spoofs = /evil|root|spoofed|0af7651916cd43dd8448eb211c80319c/

/** Sends a request with spoofed headers through a proxy on a real socket; returns what the upstream received. */
async function proxied(rewrite: 'plain' | RewriteRequestHeadersOptions): Promise<Received> {
  const { url, received } = await upstream()
  const app = Fastify()
  onTestFinished(() => app.close())
  await app.register(logicalContext, { propagators, trust: { privatePeers: 'ignore' }, onRefusal() {} })
  await app.register(replyFrom, { base: url })
  app.get('/*', (request, reply) => {
    tenant.set('acme')
    user.set('ann')
    const own = rewrite === 'plain' ? {} : { rewriteRequestHeaders: rewriteRequestHeaders({ propagators, ...rewrite }) }
    return reply.from(request.url, own)
  })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })

  const reply = await fetch(address, { headers: { ...spoofed, accept: 'a/b' } })
  await reply.text()

  expect(reply.status).toBe(200)
  return received[0] as Received
}

describe('rewriteRequestHeaders', () => {
  it('removes spoofed headers under @fastify/reply-from, and writes the context instead', async () => {
    const { headers } = await proxied({ to: 'http://127.0.0.1', values: ['127.0.0.1'] })

    expect(JSON.stringify(headers)).not.toMatch(spoofs)
    expect(headers).toMatchObject({ accept: 'a/b', baggage: 'tenant=acme,user=ann' })
    expect(headers['traceparent']).toMatch(/^00-[0-9a-f]{32}-/)
    expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('removes them also for an upstream that receives no values', async () => {
    for (const options of [{ to: 'http://127.0.0.1' }, { values: ['127.0.0.1'] }, { trace: false }]) {
      const { headers } = await proxied(options)

      expect(JSON.stringify(headers)).not.toMatch(spoofs)
      expect(headers).not.toHaveProperty('baggage')
    }
  })

  it('control: without it, the proxy passes them on', async () => {
    const { headers } = await proxied('plain')

    expect(headers).toMatchObject(spoofed)
  })

  it('removes the headers of its propagators in any case, and changes nothing else', () => {
    const headers = { TraceParent: 'spoofed', BAGGAGE: 'user=root', Accept: ['a/b', 'c/d'], 'x-b3-traceid': '1' }
    const rewrite = rewriteRequestHeaders({ propagators })

    const forwarded = asCaller(() => rewrite(undefined, headers))

    expect(Object.keys(forwarded)).toEqual(['Accept', 'x-b3-traceid', 'traceparent', 'x-request-id'])
    expect(forwarded['Accept']).toEqual(['a/b', 'c/d'])
    expect(Object.keys(headers)).toHaveLength(4)
  })

  it.each<[name: string, options: object, message: string]>([
    ['an unknown option', { values: [], upstream: '' }, "unknown option 'upstream'"],
    ['a host for a URL', { to: 'orders' }, "option 'to' expected an absolute URL"],
  ])('throws a TypeError for %s', (_, options, message) => {
    expect(() => rewriteRequestHeaders(options)).toThrow(TypeError)
    expect(() => rewriteRequestHeaders(options)).toThrow(message)
  })
})
