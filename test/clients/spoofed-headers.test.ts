import Fastify from 'fastify'
import { contextFetch } from 'logical-context/clients/fetch'
import logicalContext from 'logical-context/middleware/fastify'
import { describe, expect, it, onTestFinished } from 'vitest'
import { propagators, user } from './caller.ts'
import { upstream } from './upstream.ts'

describe('a service that calls another one', () => {
  /** A gateway that trusts no peer and calls its upstream for each request. */
  const open = async (options: object) => {
    const { url, received } = await upstream()
    const app = Fastify()
    onTestFinished(() => app.close())
    await app.register(logicalContext, { propagators, onRefusal() {}, ...options })
    const fetch = contextFetch.with({ propagators, values: ['127.0.0.1'] })
    app.get('/', async () => {
      user.set('ann')
      return (await fetch(url)).json()
    })
    return { address: await app.listen({ host: '127.0.0.1', port: 0 }), received }
  }
  const spoofed = {
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    baggage: 'tenant=evil,user=root,other=evil',
    'x-request-id': 'request-1',
  }

  it('passes on no value of an untrusted peer', async () => {
    const { address, received } = await open({})

    await (await fetch(address, { headers: spoofed })).text()

    expect(received[0]?.headers).toMatchObject({ baggage: 'user=ann', 'x-request-id': 'request-1' })
    expect(received[0]?.headers['traceparent']).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-/)
    expect(received[0]?.headers['traceparent']).not.toContain('b7ad6b7169203331')
  })

  it('passes on no trace and no id of a peer whose trace is ignored', async () => {
    const { address, received } = await open({ trust: { privatePeers: 'ignore' } })

    await (await fetch(address, { headers: spoofed })).text()

    expect(JSON.stringify(received[0]?.headers)).not.toMatch(/0af7651916cd43dd|request-1|evil|root/)
  })

  it('passes on the values of a trusted peer that it does not set itself', async () => {
    const { address, received } = await open({ trust: 'loopback' })

    await (await fetch(address, { headers: spoofed })).text()

    expect(received[0]?.headers['baggage']).toBe('tenant=evil,user=ann,other=evil')
  })
})
