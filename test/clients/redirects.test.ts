import { contextFetch } from 'logical-context/clients/fetch'
import { describe, expect, it, vi } from 'vitest'
import { asCaller, propagators, user } from './caller.ts'
import { Request } from 'undici'
import { loopbackFetch } from './loopback-names.ts'
import { type Received, upstream, type Upstream } from './upstream.ts'

/** A server that redirects `/302/location` with that status to that location, and replies `arrived` to other paths. */
function redirector(): Promise<Upstream> {
  return upstream(({ path }, response) => {
    const [, status, location] = /^\/(3\d\d)\/(.*)$/.exec(path) ?? []
    if (location === undefined) response.end('arrived')
    else
      response.writeHead(Number(status), location === '' ? {} : { location: decodeURIComponent(location) }).end('moved')
  })
}

const via = (status: number, location: string) => `/${status}/${encodeURIComponent(location)}`
const told = ({ host, headers }: Received) => [host.replace(/:\d+$/, ''), headers['baggage']]

describe('contextFetch, when it is redirected', () => {
  const listed = 'api.example.com'
  const open = async () => {
    const server = await redirector()
    const fetch = contextFetch.with({ propagators, values: [listed, '.svc.local'], fetch: loopbackFetch() })
    const at = (host: string, path = '/') => `http://${host}:${server.port}${path}`
    return { ...server, fetch, at }
  }

  it.each([301, 302, 303, 307, 308])(
    'by %d to a host that is not listed, does not send values there',
    async (status) => {
      const { fetch, at, received } = await open()

      const reply = await asCaller(() => fetch(at(listed, via(status, at('evil.test')))))

      expect(received.map(told)).toEqual([
        [listed, 'tenant=acme,user=ann'],
        ['evil.test', undefined],
      ])
      expect(await reply.text()).toBe('arrived')
      expect(received.map(({ headers }) => headers['traceparent']).every(Boolean)).toBe(true)
    },
  )

  it.each(['api.example.com.evil.test', 'notapi.example.com', 'svc.local', 'svc.local.evil.test', 'api.example.co'])(
    'to %s, does not send values there',
    async (host) => {
      const { fetch, at, received } = await open()

      await asCaller(() => fetch(at(listed, via(302, at(host)))))

      expect(received.map(told)).toEqual([
        [listed, 'tenant=acme,user=ann'],
        [host, undefined],
      ])
    },
  )

  it('sends each hop what its host may receive: to another host, back, and to another listed host', async () => {
    const { fetch, at, received } = await open()
    const last = at('orders.svc.local')
    const back = at(listed, via(302, last))
    const away = at('evil.test', via(307, back))

    await asCaller(() => fetch(at(listed, via(307, away)), { method: 'PUT', body: 'order' }))

    expect(received.map(told)).toEqual([
      [listed, 'tenant=acme,user=ann'],
      ['evil.test', undefined],
      [listed, 'tenant=acme,user=ann'],
      ['orders.svc.local', 'tenant=acme,user=ann'],
    ])
    expect(received.map(({ body }) => body)).toEqual(['order', 'order', 'order', 'order'])
  })

  it.each<[name: string, locate: (path: string, url: (path: string) => string) => string]>([
    ['relative', (path) => path],
    ['absolute', (path, url) => url(path)],
    ['without a scheme', (path, url) => url(path).replace('http:', '')],
  ])('matches each hop by its own URL after a redirect, with %s locations', async (_, locate) => {
    const { fetch, at, received } = await open()
    const evil = (path: string) => at('evil.test', path)
    const third = via(302, locate('/arrived', evil))
    const second = via(302, locate(third, evil))

    await asCaller(() => fetch(at(listed, via(302, evil(second)))))

    expect(received.map(told)).toEqual([
      [listed, 'tenant=acme,user=ann'],
      ['evil.test', undefined],
      ['evil.test', undefined],
      ['evil.test', undefined],
    ])
  })

  it('sends values to a listed host that a host that is not listed redirects to', async () => {
    const { fetch, at, received } = await open()

    await asCaller(() => fetch(at('elsewhere.test', via(302, at(listed)))))

    expect(received.map(told)).toEqual([
      ['elsewhere.test', undefined],
      [listed, 'tenant=acme,user=ann'],
    ])
  })

  it('sends each hop the variables that its host may receive', async () => {
    const { at, received } = await open()
    const values = [listed, { host: 'evil.test', only: [user] }]
    const fetch = contextFetch.with({ propagators, values, fetch: loopbackFetch() })

    await asCaller(() => fetch(at(listed, via(302, at('evil.test')))))

    expect(received.map(told)).toEqual([
      [listed, 'tenant=acme,user=ann'],
      ['evil.test', 'user=ann'],
    ])
  })

  it('sends each hop the trace only if its host is on that list', async () => {
    const { at, received } = await open()
    const fetch = contextFetch.with({ trace: [listed], fetch: loopbackFetch() })

    await asCaller(() => fetch(at(listed, via(307, at('evil.test', via(307, at(listed)))))))

    expect(received.map(({ headers }) => 'traceparent' in headers)).toEqual([true, false, true])
    expect(received.map(({ headers }) => 'x-request-id' in headers)).toEqual([true, false, true])
  })

  it('sends all hops the values of the time of the call', async () => {
    const { fetch, at, received } = await open()

    await asCaller(async () => {
      const reply = fetch(at(listed, via(302, at(listed))))
      user.set('bob')
      await reply
    })

    expect(received.map(told)).toEqual([
      [listed, 'tenant=acme,user=ann'],
      [listed, 'tenant=acme,user=ann'],
    ])
  })

  it('sends a header of the caller on all hops, as fetch does', async () => {
    const { fetch, at, received } = await open()

    await asCaller(() =>
      fetch(at(listed, via(302, at('evil.test'))), { headers: { baggage: 'mine=1', accept: 'a/b' } }),
    )

    expect(received.map(({ lines }) => [lines('baggage'), lines('accept')])).toEqual([
      [['mine=1'], ['a/b']],
      [['mine=1'], ['a/b']],
    ])
  })

  it('leaves redirects to fetch if all hosts receive the same', async () => {
    const { at } = await open()
    const fetch = vi.fn(loopbackFetch())

    const reply = await asCaller(() => contextFetch.with({ fetch })(at(listed, via(302, at('evil.test')))))

    expect(fetch).toHaveBeenCalledOnce()
    expect(reply.redirected).toBe(true)
  })

  it('sends the body of a Request again, and its other settings', async () => {
    const { fetch, at, received } = await open()
    const request = new Request(at(listed, via(307, at('evil.test'))), {
      method: 'PATCH',
      headers: { accept: 'a/b', authorization: 'Bearer secret' },
      body: 'order',
    })

    await asCaller(() => fetch(request))

    expect(request.bodyUsed).toBe(true)
    expect(received.map(({ method, body, headers }) => [method, body, headers.accept, headers.authorization])).toEqual([
      ['PATCH', 'order', 'a/b', 'Bearer secret'],
      ['PATCH', 'order', 'a/b', undefined],
    ])
  })

  it('keeps no copy of the body of a Request that is not redirected', async () => {
    const { fetch, at } = await open()
    const clone = vi.spyOn(Request.prototype, 'clone')
    const cancel = vi.spyOn(ReadableStream.prototype, 'cancel')

    const reply = await asCaller(() => fetch(new Request(at(listed), { method: 'POST', body: 'order' })))
    const copies = clone.mock.results.map(({ value }) => (value as Request).body)
    // The garbage collector cancels the bodies that other tests did not read.
    const cancelled = cancel.mock.contexts.filter((stream) => copies.includes(stream as ReadableStream))
    clone.mockRestore()
    cancel.mockRestore()

    expect(await reply.text()).toBe('arrived')
    expect(copies).toHaveLength(1)
    expect(cancelled).toEqual(copies)
  })

  it('does not wait for the body of a redirect, and closes its connection', async () => {
    const closed = Promise.withResolvers<void>()
    const { at } = await open()
    const endless = await upstream((_, response) => {
      response.writeHead(302, { location: at('evil.test') }).write('moved')
      response.on('close', closed.resolve)
    })
    const fetch = contextFetch.with({ propagators, values: [listed], fetch: loopbackFetch() })

    const reply = await asCaller(() => fetch(`http://${listed}:${endless.port}/`))

    expect(await reply.text()).toBe('arrived')
    await closed.promise
  })

  it('does not follow, if the caller has set the mode', async () => {
    const { fetch, at, received } = await open()
    const moved = at(listed, via(302, at('evil.test')))

    const reply = await asCaller(() => fetch(moved, { redirect: 'manual' }))
    await expect(asCaller(() => fetch(moved, { redirect: 'error' }))).rejects.toThrow('fetch failed')
    await expect(asCaller(() => fetch(new Request(moved, { redirect: 'error' })))).rejects.toThrow('fetch failed')

    expect([reply.status, reply.redirected]).toEqual([302, false])
    expect(received.map(told).flat()).not.toContain('evil.test')
  })
})
