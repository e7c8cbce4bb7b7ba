import { ContextVar, current, run } from 'logical-context'
import { contextFetch } from 'logical-context/clients/fetch'
import { type Propagator, w3cBaggage } from 'logical-context/propagators'
import { deadline, traceContext } from 'logical-context/variables'
import { describe, expect, it, vi } from 'vitest'
import { asCaller, propagators, tenant, traceparentOf, user } from './caller.ts'
import { upstream } from './upstream.ts'

const toLoopback = contextFetch.with({ propagators, values: ['127.0.0.1'] })

describe('contextFetch', () => {
  it('tells everybody trace and request id, and nobody values', async () => {
    const { url, received } = await upstream()

    const expected = await asCaller(async (trace) => {
      await contextFetch(url)
      return traceparentOf(trace)
    })

    expect(received[0]?.headers).toMatchObject({ traceparent: expected, 'x-request-id': 'request-of-ann' })
    expect(received[0]?.headers).not.toHaveProperty('baggage')
  })

  it('tells values to those on the list', async () => {
    const { url, received } = await upstream()

    await asCaller(async () => {
      await toLoopback(url)
      await contextFetch.with({ propagators, values: ['localhost', '.0.0.1.test'] })(url)
      await contextFetch.with({ propagators, values: [{ host: '127.0.0.1', only: [user] }] })(url)
    })

    expect(received.map(({ headers }) => headers['baggage'])).toEqual(['tenant=acme,user=ann', undefined, 'user=ann'])
  })

  it('tells trace and request id nobody, or those on a list, if wished', async () => {
    const { url, received } = await upstream()

    await asCaller(async () => {
      await contextFetch.with({ trace: false })(url)
      await contextFetch.with({ trace: ['example.com'] })(url)
      await contextFetch.with({ trace: ['127.0.0.1'] })(url)
    })

    const told = received.map(({ headers }) => [headers['traceparent'], headers['x-request-id']].map(Boolean))
    expect(told).toEqual([
      [false, false],
      [false, false],
      [true, true],
    ])
  })

  it('reads the context when it is called, not when it is sent', async () => {
    const { url, received } = await upstream()

    await asCaller(async () => {
      const reply = toLoopback(url)
      user.set('bob')
      await reply
    })

    expect(received[0]?.headers['baggage']).toBe('tenant=acme,user=ann')
  })

  it('outside any unit is fetch', async () => {
    const { url, received } = await upstream()

    await toLoopback(url, { method: 'POST', body: 'order' })

    expect(received[0]).toMatchObject({ method: 'POST', body: 'order' })
    expect(received[0]?.headers).not.toHaveProperty('traceparent')
  })

  it.each<[name: string, headers: RequestInit['headers']]>([
    ['an object', { Traceparent: 'mine', baggage: 'a=1' }],
    ['pairs', [['traceparent', 'mine'], ['Baggage', 'a=1']]], // prettier-ignore
    ['Headers', new Headers({ traceparent: 'mine', baggage: 'a=1' })],
  ])('keeps what the caller has set in %s, and doubles nothing', async (_, headers) => {
    const { url, received } = await upstream()

    await asCaller(() => toLoopback(url, { headers }))
    await asCaller(() => toLoopback(new Request(url, { headers })))
    await asCaller(() => toLoopback(new Request(url, { headers: { traceparent: 'theirs' } }), { headers }))

    for (const { lines } of received) {
      expect([lines('traceparent'), lines('baggage')]).toEqual([['mine'], ['a=1']])
      expect(lines('x-request-id')).toEqual(['request-of-ann'])
    }
    expect(received).toHaveLength(3)
  })

  it('leaves the tracestate alone where the caller has set the traceparent', async () => {
    const { url, received } = await upstream()

    await asCaller((trace) => {
      traceContext.set(Object.assign(trace, { state: trace.state.set('vendor', '1') }))
      return toLoopback(url, { headers: { traceparent: 'mine' } })
    })

    expect(received[0]?.headers).not.toHaveProperty('tracestate')
  })

  it('changes neither init nor a Request', async () => {
    const { url } = await upstream()
    const headers = Object.freeze({ accept: 'text/plain' })
    const init = Object.freeze({ method: 'POST', headers, body: 'order' })
    const request = new Request(url, { headers: { accept: 'text/plain' } })

    await asCaller(() => toLoopback(url, init))
    await asCaller(() => toLoopback(request))

    expect([...request.headers]).toEqual([['accept', 'text/plain']])
  })

  it('takes all that fetch takes', async () => {
    const { url, received } = await upstream()
    const post = { method: 'POST', body: 'order' }

    await asCaller(async () => {
      await toLoopback(new URL(url), post)
      await toLoopback(new Request(url, post))
      await toLoopback(new Request(url), post)
      await toLoopback(url, new Request(url, { ...post, headers: { accept: 'text/plain' } }))
      await toLoopback(url, { method: 'POST', body: new Blob(['order']).stream(), duplex: 'half' })
    })

    for (const request of received) {
      expect(request).toMatchObject({ method: 'POST', body: 'order' })
      expect(request.headers).toHaveProperty('baggage')
    }
    expect(received).toHaveLength(5)
    expect(received[3]?.headers.accept).toBe('text/plain')
  })

  it('leaves to fetch what is no HTTP', async () => {
    const text = await asCaller(async () => (await toLoopback('data:text/plain,order')).text())

    expect(text).toBe('order')
    await expect(asCaller(() => toLoopback('/orders'))).rejects.toThrow('Failed to parse URL')
    await expect(asCaller(() => toLoopback('http://[', {}))).rejects.toThrow('Failed to parse URL')
  })

  it('gives to a fetch of its own what it does not understand itself', async () => {
    const fetch = vi.fn(async () => Response.json('reserved'))

    const reply = await asCaller(() =>
      contextFetch.with({ propagators, values: ['orders.internal'], fetch })('/orders'),
    )

    expect(await reply.json()).toBe('reserved')
    const [input, init] = fetch.mock.calls[0] as unknown as Parameters<typeof globalThis.fetch>
    expect(input).toBe('/orders')
    expect([...new Headers(init?.headers).keys()]).toEqual(['traceparent', 'x-request-id'])
  })

  it('calls the fetch that is global at the time of the call', async () => {
    vi.stubGlobal('fetch', async () => Response.json('stubbed'))

    const reply = await contextFetch('http://127.0.0.1')
    vi.unstubAllGlobals()

    expect(await reply.json()).toBe('stubbed')
  })

  it('adds options to those it has', async () => {
    const { url, received } = await upstream()
    const fetch = vi.fn(globalThis.fetch)
    const configured = contextFetch.with({ propagators, fetch }).with({ values: ['127.0.0.1'] })

    await asCaller(() => configured(url))

    expect(fetch).toHaveBeenCalledOnce()
    expect(received[0]?.headers['baggage']).toBe('tenant=acme,user=ann')
    expect(configured.with({ values: [] }).outbound).not.toBe(configured.outbound)
  })

  it.each<[name: string, options: object, message: RegExp]>([
    ['an unknown option', { value: [] }, /unknown option 'value'/],
    ['values that are no array', { values: 'example.com' }, /option 'values' expected an array, got 'example.com'/],
    ['no options', null as never, /expected an options object, got null/],
    ['values that are no host', { values: ['http://'] }, /expected a host/],
    ['a trace that is no list', { trace: 'example.com' }, /option 'trace' expected a boolean or an array/],
    ['a trace that is no host', { trace: ['*'] }, /expected a host/],
    ['a fetch that is no function', { fetch: {} }, /option 'fetch' expected a function/],
    ['what is no propagator', { propagators: [{}] }, /expected a propagator/],
    ['two writers of baggage', { propagators: [w3cBaggage(), w3cBaggage()] }, /baggage/],
  ])('throws a TypeError at once for %s', (_, options, message) => {
    expect(() => contextFetch.with(options)).toThrow(TypeError)
    expect(() => contextFetch.with(options)).toThrow(message)
  })
})

describe('a value that cannot be a header', () => {
  const writing = (name: string, value: unknown): Propagator => ({
    fields: [name],
    extract: (context) => context,
    inject: (_, carrier) => carrier.set(name, value as string),
  })

  it.each<[name: string, field: string, value: unknown]>([
    ['CR and LF', 'x-user', 'ann\r\nx-admin: 1'],
    ['LF', 'x-user', 'ann\nx-admin: 1'],
    ['NUL', 'x-user', 'ann\0'],
    ['an escape sequence', 'x-user', '\x1b[31mann'],
    ['DEL', 'x-user', 'ann\x7f'],
    ['Latin-1', 'x-user', 'Zoë'],
    ['a character beyond Latin-1', 'x-user', '安'],
    ['what is no text', 'x-user', { toString: () => 'ann\r\nx-admin: 1' }],
    ['a symbol', 'x-user', Symbol('ann')],
    ['nothing', 'x-user', undefined],
    ['a name with a line break', 'x-user\r\nx-admin', '1'],
    ['an empty name', '', 'ann'],
  ])('is dropped and counted: %s', async (_, field, value) => {
    const { url, received } = await upstream()
    const onRefusal = vi.fn()
    const fetch = contextFetch.with({ propagators: [writing(field, value), ...propagators], onRefusal })

    const reply = await asCaller(() => fetch(url))

    expect(reply.status).toBe(200)
    expect(Object.keys(received[0]?.headers ?? {}).filter((name) => /x-user|x-admin/.test(name))).toEqual([])
    expect(received[0]?.headers).toHaveProperty('traceparent')
    expect(fetch.outbound.counters).toEqual({ refused: 0, malformed: 1, duplicate: 0, truncated: 0 })
    expect(onRefusal.mock.calls).toEqual([[{ reason: 'malformed', field, host: '127.0.0.1' }]])
  })

  it('is encoded where the format has a way to, whatever is in it', async () => {
    const { url, received } = await upstream()

    await asCaller(() => {
      tenant.set('ann\r\nx-admin: 1, \0=;\u{1F600}')
      return toLoopback(url)
    })

    expect(received[0]?.headers['baggage']).toBe('tenant=ann%0D%0Ax-admin:%201%2C%20%00=%3B%F0%9F%98%80,user=ann')
    expect(received[0]?.headers).not.toHaveProperty('x-admin')
  })

  it('is counted if its codec throws, and nobody is told but onRefusal', async () => {
    const { url, received } = await upstream()
    const broken = new ContextVar<string>('broken')
    const encode = () => {
      throw new Error('no text for that')
    }
    const member = { variable: broken, decode: String, encode }
    const onRefusal = vi.fn()
    const fetch = contextFetch.with({
      propagators: [w3cBaggage({ members: { broken: member, tenant } })],
      values: ['127.0.0.1'],
      onRefusal,
    })

    await asCaller(() => {
      broken.set('x')
      return fetch(url)
    })

    expect(received[0]?.headers['baggage']).toBe('tenant=acme')
    expect(onRefusal.mock.calls).toEqual([[{ reason: 'malformed', field: 'baggage.broken', host: '127.0.0.1' }]])
  })

  it('does not reach the caller if a propagator throws, nor if onRefusal does', async () => {
    const { url, received } = await upstream()
    const report = vi.spyOn(console, 'error').mockReturnValue()
    const throwing: Propagator = {
      fields: ['x-broken'],
      extract: (context) => context,
      inject() {
        throw new Error('broken')
      },
    }
    const onRefusal = () => {
      throw new Error('broken too')
    }

    await asCaller(() => contextFetch.with({ propagators: [throwing, ...propagators], onRefusal })(url))
    const reports = report.mock.calls.length
    report.mockRestore()

    expect(received[0]?.headers).toHaveProperty('traceparent')
    expect(reports).toBe(1)
  })

  it('is kept from all hosts if its variable is sensitive', async () => {
    const { url, received } = await upstream()
    const password = new ContextVar<string>('password', { sensitive: true })

    await asCaller(() => {
      password.set('secret')
      return contextFetch.with({ propagators: [w3cBaggage()], values: ['127.0.0.1'] })(url)
    })

    expect(JSON.stringify(received[0]?.headers)).not.toContain('secret')
  })

  it('is not written over a header of the caller by a propagator that does not look', async () => {
    const { url, received } = await upstream()
    const fetch = contextFetch.with({ propagators: [writing('x-user', 'ann')] })

    await asCaller(() => fetch(url, { headers: { 'X-User': 'bob' } }))

    expect(received[0]?.lines('x-user')).toEqual(['bob'])
    expect(fetch.outbound.counters.malformed).toBe(0)
  })
})

describe('the deadline of a call', () => {
  /** Answers the head at once, and the body never. */
  const stalling = () => upstream((_, response) => void response.writeHead(200).write('half'))
  const silent = () => upstream(() => {})
  const timeout = { name: 'TimeoutError', code: 'LCTX_TIMEOUT' }

  it('aborts the call', async () => {
    const { url } = await silent()

    const call = asCaller(() => {
      deadline.set(Date.now() + 30)
      return contextFetch(`${url}/reserve?token=secret`, { method: 'POST' })
    })

    await expect(call).rejects.toMatchObject(timeout)
    await expect(call).rejects.toThrow(`'POST ${url}/reserve' has not ended within`)
  })

  it('aborts the reading of the body', async () => {
    const { url } = await stalling()

    const reading = asCaller(async () => {
      deadline.set(Date.now() + 50)
      return (await contextFetch(url)).text()
    })

    await expect(reading).rejects.toMatchObject(timeout)
  })

  it('sends nothing if it is over already', async () => {
    const { url, received } = await upstream()

    const call = asCaller(() => {
      deadline.set(Date.now() - 1)
      return contextFetch(url)
    })

    await expect(call).rejects.toMatchObject(timeout)
    expect(received).toEqual([])
  })

  it('leaves the signal of the caller, of init or of a Request, in force', async () => {
    const { url } = await silent()
    const stop = new AbortController()
    const stopped = (input: string | Request, init?: RequestInit) =>
      asCaller(() => {
        deadline.set(Date.now() + 60_000)
        return contextFetch(input, init)
      })

    const calls = [stopped(url, { signal: stop.signal }), stopped(new Request(url, { signal: stop.signal }))]
    stop.abort(new Error('enough'))

    for (const call of calls) await expect(call).rejects.toThrow('enough')
  })

  it('holds for a Request whose signal the caller takes away', async () => {
    const { url } = await silent()
    const stop = AbortSignal.abort()

    const call = asCaller(() => {
      deadline.set(Date.now() + 30)
      return contextFetch(new Request(url, { signal: stop }), { signal: null })
    })

    await expect(call).rejects.toMatchObject(timeout)
  })

  it.each([Number.POSITIVE_INFINITY, Number.NaN, Date.now() + 2 ** 40])('is none if it is %d', async (end) => {
    const { url } = await upstream()

    const reply = await asCaller(() => {
      deadline.set(end)
      return contextFetch(url)
    })

    expect(reply.status).toBe(200)
  })

  it('goes out as the time that is left, to those on the list', async () => {
    const { url, received } = await upstream()

    await asCaller(async () => {
      deadline.set(Date.now() + 5000)
      await contextFetch(url)
      await contextFetch.with({ values: ['127.0.0.1'] })(url)
    })

    expect(received[0]?.headers).not.toHaveProperty('grpc-timeout')
    expect(received[1]?.headers['grpc-timeout']).toMatch(/^(4\d{3}|5000)m$/)
  })

  it('leaves no timer behind when the call fails', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const fetch = contextFetch.with({ fetch: () => Promise.reject(new Error('down')) })

    const call = asCaller(() => {
      deadline.set(Date.now() + 60_000)
      return fetch('http://127.0.0.1/')
    })
    const before = vi.getTimerCount()
    await expect(call).rejects.toThrow('down')
    const after = vi.getTimerCount()
    vi.useRealTimers()

    expect([before, after]).toEqual([1, 0])
  })

  it.each(['no signal of the caller', 'a signal of the caller'])(
    'holds after a garbage collection, with %s',
    async (which) => {
      const { url, received } = await silent()
      const init = which.startsWith('no') ? {} : { signal: new AbortController().signal }

      const call = asCaller(() => {
        deadline.set(Date.now() + 300)
        return contextFetch(url, init)
      })
      const outcome = call.catch((error: Error) => error)
      while (received.length === 0) await new Promise(setImmediate)
      for (let i = 0; i < 5; i++) {
        gc?.()
        await new Promise(setImmediate)
      }

      expect(await outcome).toMatchObject(timeout)
    },
  )

  it('keeps nothing of a call that has ended', async () => {
    const signals: WeakRef<AbortSignal>[] = []
    const fetch = contextFetch.with({
      fetch: async (_, init) => {
        signals.push(new WeakRef(init?.signal as AbortSignal))
        return new Response()
      },
    })
    const caller = new AbortController()

    await asCaller(async () => {
      deadline.set(Date.now() + 60_000)
      await fetch('http://127.0.0.1/')
      await fetch('http://127.0.0.1/', { signal: caller.signal })
    })
    for (let i = 0; i < 5; i++) {
      await new Promise(setImmediate)
      gc?.()
    }

    expect(signals.map((signal) => signal.deref())).toEqual([undefined, undefined])
  })

  it('does not hold up the end of the process', async () => {
    const { url } = await upstream()
    const set = vi.spyOn(globalThis, 'setTimeout')

    await asCaller(() => {
      deadline.set(Date.now() + 60_000)
      return contextFetch(url)
    })
    const timers = set.mock.calls.flatMap(([, ms], i) => ((ms ?? 0) > 50_000 ? [set.mock.results[i]?.value] : []))
    set.mockRestore()

    expect(timers.map((timer: NodeJS.Timeout) => timer.hasRef())).toEqual([false])
  })

  it('takes no signal from the caller, and makes none, if there is no deadline', async () => {
    const seen: unknown[] = []
    const fetch = contextFetch.with({
      fetch: async (_, init) => {
        seen.push(init?.signal)
        return new Response()
      },
    })
    const { signal } = new AbortController()

    await asCaller(() => fetch('http://127.0.0.1/', { signal }))
    await asCaller(() => fetch('http://127.0.0.1/'))

    expect(seen).toEqual([signal, undefined])
  })

  it('is that of the block in which the call is made', async () => {
    const { url } = await silent()

    const call = asCaller(() => deadline.run(Date.now() + 20, () => contextFetch(url)))

    await expect(call).rejects.toMatchObject(timeout)
    await expect(run(current().with(deadline, 0), () => contextFetch(url))).rejects.toMatchObject(timeout)
  })
})
