import { ContextVar, current, run } from 'logical-context'
import { contextFetch } from 'logical-context/clients/fetch'
import { type Propagator, w3cBaggage } from 'logical-context/propagators'
import { deadline, traceContext } from 'logical-context/variables'
import { describe, expect, it, vi } from 'vitest'
import { asCaller, propagators, tenant, traceparentOf, user } from './caller.ts'
import { upstream } from './upstream.ts'

const toLoopback = contextFetch.with({ propagators, values: ['127.0.0.1'] })

describe('contextFetch', () => {
  it('sends trace and request id to every host, and values to none', async () => {
    const { url, received } = await upstream()

    const expected = await asCaller(async (trace) => {
      await contextFetch(url)
      return traceparentOf(trace)
    })

    expect(received[0]?.headers).toMatchObject({ traceparent: expected, 'x-request-id': 'request-of-ann' })
    expect(received[0]?.headers).not.toHaveProperty('baggage')
  })

  it('sends values to the listed hosts', async () => {
    const { url, received } = await upstream()

    await asCaller(async () => {
      await toLoopback(url)
      await contextFetch.with({ propagators, values: ['localhost', '.0.0.1.test'] })(url)
      await contextFetch.with({ propagators, values: [{ host: '127.0.0.1', only: [user] }] })(url)
    })

    expect(received.map(({ headers }) => headers['baggage'])).toEqual(['tenant=acme,user=ann', undefined, 'user=ann'])
  })

  it('sends trace and request id to no host, or to the listed ones, by option', async () => {
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

  it('is plain fetch outside any unit', async () => {
    const { url, received } = await upstream()

    await toLoopback(url, { method: 'POST', body: 'order' })

    expect(received[0]).toMatchObject({ method: 'POST', body: 'order' })
    expect(received[0]?.headers).not.toHaveProperty('traceparent')
  })

  it.each<[name: string, headers: RequestInit['headers']]>([
    ['an object', { Traceparent: 'mine', baggage: 'a=1' }],
    ['pairs', [['traceparent', 'mine'], ['Baggage', 'a=1']]], // prettier-ignore
    ['Headers', new Headers({ traceparent: 'mine', baggage: 'a=1' })],
  ])('keeps the headers of the caller in %s, and duplicates none', async (_, headers) => {
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

  it('does not write a tracestate if the caller set the traceparent', async () => {
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

  it('accepts every input that fetch accepts', async () => {
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

  it('passes URLs of other schemes to fetch', async () => {
    const text = await asCaller(async () => (await toLoopback('data:text/plain,order')).text())

    expect(text).toBe('order')
    await expect(asCaller(() => toLoopback('/orders'))).rejects.toThrow('Failed to parse URL')
    await expect(asCaller(() => toLoopback('http://[', {}))).rejects.toThrow('Failed to parse URL')
  })

  it('passes inputs that are not URLs to the fetch of its options', async () => {
    const fetch = vi.fn(async () => Response.json('reserved'))

    const reply = await asCaller(() =>
      contextFetch.with({ propagators, values: ['orders.internal'], fetch })('/orders'),
    )

    expect(await reply.json()).toBe('reserved')
    const [input, init] = fetch.mock.calls[0] as unknown as Parameters<typeof globalThis.fetch>
    expect(input).toBe('/orders')
    expect([...new Headers(init?.headers).keys()]).toEqual(['traceparent', 'x-request-id'])
  })

  it('calls the global fetch of the time of the call', async () => {
    vi.stubGlobal('fetch', async () => Response.json('stubbed'))

    const reply = await contextFetch('http://127.0.0.1')
    vi.unstubAllGlobals()

    expect(await reply.json()).toBe('stubbed')
  })

  it('warns once of a value that it could not send, because the program listed no host', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const { url } = await upstream()

    await contextFetch.with({ propagators })(url)
    await asCaller(async () => {
      await contextFetch(url)
      await contextFetch.with({ propagators, values: [] })(url)
      for (let count = 0; count < 2; count++) await contextFetch.with({ propagators })(url)
    })

    const warnings = warn.mock.calls.map(([text]) => text)
    warn.mockRestore()
    expect(warnings).toEqual([
      "contextFetch: a call to 127.0.0.1 did not send 'tenant', 'user', because no host receives values. List the hosts " +
        "in the option 'values', or set it to [] to send values to none.",
    ])
  })

  it('adds options to its own', async () => {
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
    ['values that are not an array', { values: 'example.com' }, /option 'values' expected an array, got 'example.com'/],
    ['null as options', null as never, /expected an options object, got null/],
    ['an invalid host in values', { values: ['http://'] }, /expected a host/],
    ['a trace that is not a list', { trace: 'example.com' }, /option 'trace' expected a boolean or an array/],
    ['an invalid host in trace', { trace: ['*'] }, /expected a host/],
    ['a fetch that is not a function', { fetch: {} }, /option 'fetch' expected a function/],
    ['an async onRefusal', { onRefusal: async () => {} }, /option 'onRefusal' expected a synchronous function/],
    ['an invalid propagator', { propagators: [{}] }, /expected a propagator/],
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
    ['an object', 'x-user', { toString: () => 'ann\r\nx-admin: 1' }],
    ['a symbol', 'x-user', Symbol('ann')],
    ['undefined', 'x-user', undefined],
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

  it('is encoded, if the format has an encoding', async () => {
    const { url, received } = await upstream()

    await asCaller(() => {
      tenant.set('ann\r\nx-admin: 1, \0=;\u{1F600}')
      return toLoopback(url)
    })

    expect(received[0]?.headers['baggage']).toBe('tenant=ann%0D%0Ax-admin:%201%2C%20%00=%3B%F0%9F%98%80,user=ann')
    expect(received[0]?.headers).not.toHaveProperty('x-admin')
  })

  it('is counted if its codec throws, and reaches only onRefusal', async () => {
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

  it('logs what a propagator or onRefusal throws, and does not fail the call', async () => {
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
    const reports = report.mock.calls.map(([line]) => String(line))
    report.mockRestore()

    expect(received[0]?.headers).toHaveProperty('traceparent')
    expect(reports).toEqual([
      expect.stringContaining("inject() of the propagator of 'x-broken' failed"),
      expect.stringContaining('onRefusal failed'),
    ])
  })

  it('costs little if it is far too long', async () => {
    const { url, received } = await upstream()
    const fetch = contextFetch.with({ propagators, values: ['127.0.0.1'] })

    const usedMs = await asCaller(async () => {
      user.set('é'.repeat(5_000_000))
      const before = process.cpuUsage().user
      await fetch(url)
      return (process.cpuUsage().user - before) / 1000
    })

    expect(received[0]?.headers['baggage']).toBe('tenant=acme')
    expect(fetch.outbound.counters.truncated).toBe(1)
    expect(usedMs).toBeLessThan(500)
  })

  it('does not fail the call or the process if onRefusal returns a promise that rejects', async () => {
    const { url, received } = await upstream()
    const report = vi.spyOn(console, 'error').mockReturnValue()
    const broken = writing('x-user', 'a\nb')
    const onRefusal: (refusal: unknown) => unknown = () => Promise.reject(new Error('broken'))
    const fetch = contextFetch.with({ propagators: [broken, ...propagators], onRefusal })

    await asCaller(async () => [await fetch(url), await fetch(url)])
    await new Promise(setImmediate)
    const reports = report.mock.calls.map(([line]) => String(line))
    report.mockRestore()

    expect(received).toHaveLength(2)
    expect(fetch.outbound.counters.malformed).toBe(2)
    expect(reports).toEqual([expect.stringContaining('onRefusal failed')])
  })

  it('is sent to no host if its variable is sensitive', async () => {
    const { url, received } = await upstream()
    const password = new ContextVar<string>('password', { sensitive: true })

    await asCaller(() => {
      password.set('secret')
      return contextFetch.with({ propagators: [w3cBaggage()], values: ['127.0.0.1'] })(url)
    })

    expect(JSON.stringify(received[0]?.headers)).not.toContain('secret')
  })

  it('never replaces a header of the caller, even if a propagator tries to', async () => {
    const { url, received } = await upstream()
    const fetch = contextFetch.with({ propagators: [writing('x-user', 'ann')] })

    await asCaller(() => fetch(url, { headers: { 'X-User': 'bob' } }))

    expect(received[0]?.lines('x-user')).toEqual(['bob'])
    expect(fetch.outbound.counters.malformed).toBe(0)
  })
})

describe('the deadline of a call', () => {
  /** Sends the head at once, and never the body. */
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
    await expect(call).rejects.toThrow(`'POST ${url}/reserve' did not end within`)
  })

  it('aborts the reading of the body', async () => {
    const { url } = await stalling()

    const reading = asCaller(async () => {
      deadline.set(Date.now() + 50)
      return (await contextFetch(url)).text()
    })

    await expect(reading).rejects.toMatchObject(timeout)
  })

  it('sends nothing if it has passed already', async () => {
    const { url, received } = await upstream()

    const call = asCaller(() => {
      deadline.set(Date.now() - 1)
      return contextFetch(url)
    })

    await expect(call).rejects.toMatchObject(timeout)
    expect(received).toEqual([])
  })

  it('keeps the signal of the caller in force, from init or from a Request', async () => {
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

  it('applies to a Request whose signal the caller sets to null', async () => {
    const { url } = await silent()
    const stop = AbortSignal.abort()

    const call = asCaller(() => {
      deadline.set(Date.now() + 30)
      return contextFetch(new Request(url, { signal: stop }), { signal: null })
    })

    await expect(call).rejects.toMatchObject(timeout)
  })

  it.each([Number.POSITIVE_INFINITY, Number.NaN, Date.now() + 2 ** 40])('is ignored if it is %d', async (end) => {
    const { url } = await upstream()

    const reply = await asCaller(() => {
      deadline.set(end)
      return contextFetch(url)
    })

    expect(reply.status).toBe(200)
  })

  it('is sent to the listed hosts as the remaining time', async () => {
    const { url, received } = await upstream()

    await asCaller(async () => {
      deadline.set(Date.now() + 5000)
      await contextFetch(url)
      await contextFetch.with({ values: ['127.0.0.1'] })(url)
    })

    expect(received[0]?.headers).not.toHaveProperty('grpc-timeout')
    expect(received[1]?.headers['grpc-timeout']).toMatch(/^(4\d{3}|5000)m$/)
  })

  it('clears its timer when the call fails', async () => {
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
    'still aborts after a garbage collection, with %s',
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

  it('keeps nothing of a call that ended', async () => {
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

  it('does not keep the process alive', async () => {
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

  it('passes the caller’s own signal, or none, if there is no deadline', async () => {
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

  it('is the deadline of the block in which the call is made', async () => {
    const { url } = await silent()

    const call = asCaller(() => deadline.run(Date.now() + 20, () => contextFetch(url)))

    await expect(call).rejects.toMatchObject(timeout)
    await expect(run(current().with(deadline, 0), () => contextFetch(url))).rejects.toMatchObject(timeout)
  })
})
