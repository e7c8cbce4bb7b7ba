import { once } from 'node:events'
import { request as httpsRequest } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import Fastify, { type FastifyInstance } from 'fastify'
import { ContextVar } from 'logical-context'
import logicalContext, { type LogicalContextOptions } from 'logical-context/middleware/fastify'
import { Inbound } from 'logical-context/middleware/inbound'
import { xRequestId, w3cBaggage, w3cTraceContext } from 'logical-context/propagators'
import { baggage, traceContext } from 'logical-context/variables'
import { afterEach, describe, expect, it } from 'vitest'
import { trustRule } from '../../src/middleware/trust.ts'
import { certificate } from '../clients/certificate.ts'

const tenant = new ContextVar<string>('tenant')
const traceId = '0af7651916cd43dd8448eb211c80319c'
const traceparent = `00-${traceId}-b7ad6b7169203331-01`

const apps: FastifyInstance[] = []
afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.close()))
})

/** A server that answers with what it has believed. */
async function open(options: LogicalContextOptions, server: object = {}): Promise<FastifyInstance> {
  const app = Fastify({ forceCloseConnections: true, ...server }) as unknown as FastifyInstance
  apps.push(app)
  await app.register(logicalContext, {
    propagators: [w3cTraceContext(), w3cBaggage({ members: { tenant } }), xRequestId()],
    onRefusal: () => {},
    ...options,
  })
  app.get('/*', async () => {
    const trace = traceContext.get()
    return {
      tenant: tenant.get() ?? null,
      others: baggage.get()?.toString() ?? null,
      continued: trace?.traceId === traceId,
      linked: trace?.link?.traceId === traceId,
      counters: app.requestScopes.peers.counters,
    }
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

/** Sends lines as they are: fetch would join, trim and rename them. */
async function ask(app: FastifyInstance, lines: string[], path = '/'): Promise<Record<string, unknown>> {
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  socket.write([`GET ${path} HTTP/1.1`, 'host: x', 'connection: close', ...lines, '', ''].join('\r\n'))
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  await once(socket, 'close')
  return JSON.parse(text.slice(text.indexOf('\r\n\r\n'))) as Record<string, unknown>
}

const none = { refused: 0, malformed: 0, duplicate: 0, truncated: 0 }

describe('trust', () => {
  it.each<[name: string, options: LogicalContextOptions, lines: string[], expected: object]>([
    ['no peer: one member', {}, ['baggage: tenant=acme'], { tenant: null, counters: { ...none, refused: 1 } }],
    [
      'no peer: two lines',
      {},
      ['baggage: tenant=acme', 'baggage: a=1'],
      { others: null, counters: { ...none, refused: 1 } },
    ],
    ['no peer: the trace of a private peer', {}, [`traceparent: ${traceparent}`], { continued: true, counters: none }],
    ['the peer: one member', { trust: 'loopback' }, ['baggage: tenant=acme'], { tenant: 'acme', counters: none }],
    ['the peer: the header in another case', { trust: 'loopback' }, ['BagGage: tenant=acme'], { tenant: 'acme' }],
    [
      'the peer: the member in another case',
      { trust: 'loopback' },
      ['baggage: Tenant=acme'],
      { tenant: null, others: 'Tenant=acme' },
    ],
    [
      'the peer: a member twice',
      { trust: 'loopback' },
      ['baggage: tenant=a,tenant=b'],
      { tenant: null, counters: { ...none, duplicate: 1 } },
    ],
    [
      'the peer: a member on two lines',
      { trust: 'loopback' },
      ['baggage: tenant=a', 'baggage: tenant=b'],
      { tenant: null, counters: { ...none, duplicate: 1 } },
    ],
    [
      'the peer: members on two lines',
      { trust: 'loopback' },
      ['baggage: tenant=a', 'baggage: b=1'],
      { tenant: 'a', others: ' b=1' },
    ],
    [
      'the peer: two traceparents',
      { trust: 'loopback' },
      [`traceparent: ${traceparent}`, `traceparent: ${traceparent}`],
      { continued: false, counters: { ...none, duplicate: 1 } },
    ],
    [
      'the peer: a bad traceparent',
      { trust: 'loopback' },
      ['traceparent: 00-xyz'],
      { continued: false, counters: { ...none, malformed: 1 } },
    ],
    ['the peer by its range', { trust: ['127.0.0.0/8'] }, ['baggage: tenant=acme'], { tenant: 'acme' }],
    ['the peer by localhost', { trust: 'localhost' }, ['baggage: tenant=acme'], { tenant: 'acme' }],
    [
      'the peer by its address among names',
      { trust: ['*.example.com', '127.0.0.1'] },
      ['baggage: tenant=acme'],
      { tenant: 'acme' },
    ],
    [
      'a name, without a certificate',
      { trust: ['.localhost', '*.localhost', 'api.localhost'] },
      ['baggage: tenant=acme'],
      { tenant: null },
    ],
    ['an IPv6 address in brackets', { trust: ['[::1]'] }, ['baggage: tenant=acme'], { tenant: null }],
    ['another range', { trust: ['10.0.0.0/8'] }, ['baggage: tenant=acme'], { tenant: null }],
    [
      'another range, whatever is forwarded',
      { trust: ['10.0.0.0/8'] },
      ['x-forwarded-for: 10.1.1.1', 'forwarded: for=10.1.1.1', 'baggage: tenant=acme'],
      { tenant: null, counters: { ...none, refused: 1 } },
    ],
    [
      'private peers restarted',
      { trust: { privatePeers: 'restart' } },
      [`traceparent: ${traceparent}`],
      { continued: false, linked: true },
    ],
    [
      'private peers ignored',
      { trust: { privatePeers: 'ignore' } },
      [`traceparent: ${traceparent}`],
      { continued: false, linked: false },
    ],
    [
      'an address above the verdict on the others',
      { trust: { addresses: 'loopback', privatePeers: 'ignore' } },
      [`traceparent: ${traceparent}`, 'baggage: tenant=acme'],
      { continued: true, tenant: 'acme' },
    ],
  ])('%s', async (_name, options, lines, expected) => {
    const app = await open(options)

    expect(await ask(app, lines)).toMatchObject(expected)
  })

  it('does not follow X-Forwarded-For where Fastify itself does', async () => {
    const app = await open({ trust: ['10.0.0.0/8'] }, { trustProxy: true })

    expect(await ask(app, ['x-forwarded-for: 10.1.1.1', 'baggage: tenant=acme'])).toMatchObject({ tenant: null })
  })

  it('may be a function of the request, so a route of its own has a rule of its own', async () => {
    const app = await open({
      trust: ({ url = '' }) => (url.startsWith('/webhooks/') ? { trace: 'ignore', values: false } : true),
    })
    const lines = [`traceparent: ${traceparent}`, 'baggage: tenant=acme']

    expect(await ask(app, lines)).toMatchObject({ continued: true, tenant: 'acme' })
    expect(await ask(app, lines, '/webhooks/paid')).toMatchObject({ continued: false, linked: false, tenant: null })
  })

  it('is called for each request on a connection, if it is a function', async () => {
    const seen: string[] = []
    const app = await open({
      trust({ url = '' }) {
        seen.push(url)
        return url === '/own'
      },
    })
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
    const request = (path: string, more = '') =>
      `GET ${path} HTTP/1.1\r\nhost: x\r\n${more}baggage: tenant=acme\r\n\r\n`
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    socket.write(request('/own') + request('/other') + request('/own', 'connection: close\r\n'))
    await once(socket, 'close')

    expect(seen).toEqual(['/own', '/other', '/own'])
    expect(Array.from(text.matchAll(/"tenant":([^,]+)/g), ([, tenantSeen]) => tenantSeen)).toEqual([
      '"acme"',
      'null',
      '"acme"',
    ])
  })

  it.each<[name: string, trust: string | string[], shown: string]>([
    ['a port', ['localhost:3000'], "[ 'localhost:3000' ]"],
    ['a scheme', ['https://gateway.internal'], "[ 'https://gateway.internal' ]"],
    ['a wildcard in a name', ['api.*.internal'], "[ 'api.*.internal' ]"],
    ['a number', [7 as never], '[ 7 ]'],
    ['a prefix that is too long', '10.0.0.0/33', "'10.0.0.0/33'"],
    ['an empty text', '', "''"],
    ['an octal address', '010.0.0.1', "'010.0.0.1'"],
    ['an octal range', '010.0.0.0/8', "'010.0.0.0/8'"],
    ['a hexadecimal address', '0x7f.0.0.1', "'0x7f.0.0.1'"],
    ['an address of two parts', '127.1', "'127.1'"],
    ['an address as a number', '2130706433', "'2130706433'"],
  ])('throws at registration for %s', async (_, trust, shown) => {
    const message = `logicalContext: option 'trust' expected addresses, ranges such as '10.0.0.0/8', 'localhost', 'loopback', 'linklocal', 'uniquelocal', or names of certificates such as '*.example.com', got ${shown}.`

    await expect(open({ trust })).rejects.toThrow(message)
    await expect(open({ trust })).rejects.toThrow(TypeError)
  })

  it.each<[name: string, trust: string | string[], shown: string]>([
    ['every host', '*', "'*'"],
    ['every IPv4 address', ['loopback', '0.0.0.0/0'], "'0.0.0.0/0'"],
    ['every IPv4 address, with a mask', '0.0.0.0/0.0.0.0', "'0.0.0.0/0.0.0.0'"],
    ['every IPv6 address', '::/0', "'::/0'"],
    ['all public IPv6 addresses', '2000::/3', "'2000::/3'"],
    ['two halves of all addresses', ['0.0.0.0/1', '128.0.0.0/1'], "[ '0.0.0.0/1', '128.0.0.0/1' ]"],
  ])('throws at registration for %s, and says what to write instead', async (_, trust, shown) => {
    const message =
      `logicalContext: option 'trust' expected peers of your own, got ${shown}, which trusts every client: each of them could ` +
      "set values. List your services, for example '10.20.0.0/16'. If only your services can connect, write: " +
      'trust: () => true.'

    await expect(open({ trust })).rejects.toThrow(new TypeError(message))
  })

  it.each<[name: string, subjectaltname: string | undefined, trust: string, isTrusted: boolean]>([
    ['the name', 'DNS:api.example.com', 'api.example.com', true],
    ['the name in another case', 'DNS:API.Example.com', 'api.example.COM', true],
    ['one of several names', 'IP Address:10.0.0.1, DNS:a.test, DNS:api.example.com', 'api.example.com', true],
    ['a name below a suffix', 'DNS:api.example.com', '.example.com', true],
    ['a name below a wildcard', 'DNS:a.b.example.com', '*.example.com', true],
    ['the name above a wildcard', 'DNS:example.com', '*.example.com', false],
    ['another name', 'DNS:api.example.com.evil.test', 'api.example.com', false],
    ['a wildcard in the certificate', 'DNS:*.example.com', 'api.example.com', false],
    ['a name inside a quoted entry', 'DNS:"x, DNS:api.example.com, y"', 'api.example.com', false],
    ['a URI with the name', 'URI:DNS:api.example.com', 'api.example.com', false],
    ['no names', undefined, 'api.example.com', false],
  ])('compares names with a verified certificate: %s', (_, subjectaltname, trust, isTrusted) => {
    const { decide } = trustRule([trust])
    const socket = (authorized: boolean) =>
      ({ remoteAddress: '203.0.113.1', authorized, getPeerCertificate: () => ({ subjectaltname }) }) as never

    expect(decide({ headers: {}, socket: socket(true) }).values).toBe(isTrusted)
    expect(decide({ headers: {}, socket: socket(false) }).values).toBe(false)
  })

  it('may be the verified peer of a TLS connection', async () => {
    const app = await open(
      {
        trust: ({ socket }) => {
          const tls = socket as TLSSocket
          return tls.authorized && tls.getPeerCertificate().subject.CN === 'localhost'
        },
      },
      { https: { ...certificate, ca: certificate.cert, requestCert: true, rejectUnauthorized: false } },
    )
    const call = async (client: object) => {
      const sent = httpsRequest({
        port: (app.server.address() as AddressInfo).port,
        host: '127.0.0.1',
        ca: certificate.cert,
        headers: { baggage: 'tenant=acme' },
        agent: false,
        ...client,
      }).end()
      const [response] = await once(sent, 'response')
      let text = ''
      for await (const chunk of response) text += String(chunk)
      return JSON.parse(text) as object
    }

    expect(await call({ ...certificate })).toMatchObject({ tenant: 'acme' })
    expect(await call({})).toMatchObject({ tenant: null })
  })

  it('warns once if a trusted peer forwards requests of its clients, with the remedy', async () => {
    const lines: { msg: string; level: number }[] = []
    const logger = { level: 'warn', stream: { write: (line: string) => void lines.push(JSON.parse(line)) } }
    const app = await open({ trust: 'loopback' }, { logger })

    await ask(app, ['baggage: tenant=acme'])
    expect(lines).toEqual([])
    await ask(app, ['x-forwarded-for: 203.0.113.1'])
    await ask(app, ['X-Forwarded-For: 203.0.113.2'])
    await ask(app, ['forwarded: for=203.0.113.2'])

    expect(lines).toMatchObject([
      {
        level: 40,
        address: '127.0.0.1',
        header: 'x-forwarded-for',
        msg:
          'the trusted peer 127.0.0.1 forwards requests of its clients (x-forwarded-for), so each of these clients can ' +
          "set values. Remove the peer from the option 'trust', and set trust: { privatePeers: 'restart' }. If the peer " +
          'removes the context headers of its clients, use a function: trust: () => true.',
      },
    ])
  })

  it('warns of Forwarded, and of the second request on a connection', async () => {
    const warnings: object[] = []
    const warn = (fields: object) => void warnings.push(fields)
    const inbound = new Inbound({ trust: ['127.0.0.1'] }, { log: { info() {}, warn, error() {} } })
    const socket = { remoteAddress: '127.0.0.1' } as Socket

    inbound.open('first', { headers: {}, socket }).close()
    inbound.open('second', { headers: { forwarded: 'for=203.0.113.1' }, socket }).close()

    expect(warnings).toEqual([{ address: '127.0.0.1', header: 'forwarded' }])
  })

  it.each<[name: string, options: LogicalContextOptions]>([
    ['a peer that is not trusted', { trust: ['10.0.0.0/8'] }],
    ['a private peer', {}],
    ['the safe setting of a gateway', { trust: { privatePeers: 'restart' } }],
    ['a function, which decides with intent', { trust: () => true }],
  ])('does not warn of forwarded requests for %s', async (_name, options) => {
    const lines: string[] = []
    const logger = { level: 'warn', stream: { write: (line: string) => void lines.push(line) } }
    const app = await open(options, { logger })

    await ask(app, ['x-forwarded-for: 203.0.113.1', 'forwarded: for=203.0.113.1'])

    expect(lines).toEqual([])
  })
})
