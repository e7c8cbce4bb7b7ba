import { createHash } from 'node:crypto'
import { contextFetch, type Fetch } from 'logical-context/clients/fetch'
import { describe, expect, it } from 'vitest'
import { type Received, upstream, type Upstream } from './upstream.ts'

/** Follows redirects itself, and writes no headers. */
const byHand: Fetch = contextFetch.with({ propagators: [], values: ['127.0.0.1'] })

const isNode22 = process.version.startsWith('v22.')
const putOfBytes: [name: string, init: () => RequestInit] = [
  'PUT of bytes',
  () => ({ method: 'PUT', body: Buffer.from('tea') }),
]

/** The outcome of a call: what the servers received, and what the caller got. */
async function outcomeOf(fetch: Fetch, servers: readonly Upstream[], call: (fetch: Fetch) => Promise<Response>) {
  for (const { received } of servers) received.length = 0
  const reply = await call(fetch).then(
    async (response) => {
      const { status, statusText, ok, type, redirected, url } = response
      return { status, statusText, ok, type, redirected, url, text: await response.text() }
    },
    (error: Error) => [error.name, error.message],
  )
  return { reply, received: servers.map(({ received }) => received.map(comparable)) }
}

function comparable({ method, path, headers, body }: Received): object {
  const { 'content-type': type, connection: _, ...others } = headers
  // Each fetch creates its own; the fetch of Node 22 and 24 creates one for each hop and keeps the first one's header.
  const boundary = /-*formdata-undici-\d+/g
  return { method, path, others, type: type?.replace(boundary, '-'), body: body.replaceAll(boundary, '-') }
}

function form(): FormData {
  const data = new FormData()
  data.set('order', 'tea')
  return data
}

describe('the redirects that contextFetch follows', () => {
  /** Two origins; the first redirects to the second, or to a path of its own. */
  const open = async () => {
    const redirect =
      (text: string): Parameters<typeof upstream>[0] =>
      ({ path }, response) => {
        const [, status, location] = /^\/(\d\d\d)\/(.*)$/.exec(path) ?? []
        if (location === undefined) response.end(text)
        else
          response
            .writeHead(Number(status), { location: Buffer.from(decodeURIComponent(location)).toString('latin1') })
            .end()
      }
    const other = await upstream(redirect('arrived elsewhere'))
    const first = await upstream(redirect('arrived'))
    const same = async (call: (fetch: Fetch) => Promise<Response>) => {
      const expected = await outcomeOf(globalThis.fetch, [first, other], call)
      expect(await outcomeOf(byHand, [first, other], call)).toEqual(expected)
      return expected
    }
    const moved = (status: number, location: string) => `${first.url}/${status}/${encodeURIComponent(location)}`
    return { first, other, same, moved }
  }

  const headers = {
    authorization: 'Bearer secret',
    cookie: 'session=1',
    'proxy-authorization': 'Basic secret',
    'content-language': 'en',
    'x-api-key': 'kept',
  }

  describe.each([300, 301, 302, 303, 304, 305, 307, 308])('are like those of fetch: %d', (status) => {
    it.each<[name: string, init: () => RequestInit]>([
      ['GET', () => ({ headers })],
      ['HEAD', () => ({ method: 'HEAD', headers })],
      ['DELETE', () => ({ method: 'delete', headers })],
      ['POST without a body', () => ({ method: 'POST', headers })],
      ['POST of a text', () => ({ method: 'POST', body: 'tea', headers })],
      ['POST in lower case', () => ({ method: 'post', body: 'tea', headers })],
      ['PUT of a text', () => ({ method: 'PUT', body: 'tea', headers })],
      // The fetch of Node 22 cannot send bytes again.
      ...(isNode22 ? [] : [putOfBytes]),
      ['PUT of a form', () => ({ method: 'PUT', body: form(), headers })],
      ['POST of parameters', () => ({ method: 'POST', body: new URLSearchParams({ a: 'b' }) })],
      ['PUT of a blob', () => ({ method: 'PUT', body: new Blob(['tea'], { type: 'text/tea' }) })],
      ['PUT of a stream', () => ({ method: 'PUT', body: new Blob(['tea']).stream(), duplex: 'half' })],
      ['POST of a stream', () => ({ method: 'POST', body: new Blob(['tea']).stream(), duplex: 'half' })],
    ])('%s', async (_, init) => {
      const { same, moved, other } = await open()

      await same((fetch) => fetch(moved(status, '/here'), init()))
      await same((fetch) => fetch(moved(status, `${other.url}/there`), init()))
    })

    it('a Request', async () => {
      const { same, moved, other } = await open()
      const request = () => new Request(moved(status, `${other.url}/there`), { method: 'POST', body: 'tea', headers })

      await same((fetch) => fetch(request()))
      await same((fetch) => fetch(request(), { method: 'POST', body: 'coffee' }))
      await same((fetch) => fetch(moved(status, '/here'), request()))
      await same((fetch) => fetch(new Request(moved(status, '/here'), { method: 'PUT', body: form() })))
    })
  })

  it.each<[name: string, location: string]>([
    ['a path', '/here'],
    ['a relative path', 'here/../there'],
    ['a query', '?a=b'],
    ['nothing', ''],
    ['a fragment', '/here#there'],
    ['no scheme', '//127.0.0.1:1/'],
    ['UTF-8', '/bücher'],
    ['percent-encoded UTF-8', '/b%C3%BCcher'],
    ['no HTTP', 'data:text/plain,tea'],
    ['a file', 'file:///etc/passwd'],
    ['no URL', 'http://['],
  ])('go to the URL that fetch goes to: %s', async (_, location) => {
    const { same, moved } = await open()

    await same((fetch) => fetch(moved(302, location)))
    await same((fetch) => fetch(`${moved(302, location)}#fragment`))
  })

  const sha = (algorithm: string, text = 'arrived') =>
    `${algorithm}-${createHash(algorithm).update(text).digest('base64')}`

  it.each<[name: string, integrity: string]>([
    ['that matches', sha('sha256')],
    ['that does not match', sha('sha256', 'departed')],
    ['of the redirect’s own body', sha('sha256', '')],
    ['with one of several that matches', `${sha('sha384', 'departed')} ${sha('sha384')}`],
    ['whose strongest algorithm does not match', `${sha('sha256')} ${sha('sha512', 'departed')}`],
    ['whose strongest algorithm matches', `${sha('sha256', 'departed')} ${sha('sha512')}`],
    ['without padding', sha('sha256').replace('=', '')],
    ['in the alphabet of URLs', sha('sha512').replaceAll('+', '-').replaceAll('/', '_')],
    ['with blanks', `  ${sha('sha384')}  `],
    ['of an unknown algorithm', 'md5-abc'],
    ['that is empty', ''],
    // The fetch of Node 22 reads these in another way than the specification.
    ...(isNode22
      ? []
      : ([
          ['with an option', `${sha('sha256')}?ct=text/plain`],
          ['with a tab at its end', `${sha('sha256')}\t`],
          ['in upper case', sha('sha256').replace('sha', 'SHA')],
        ] as [name: string, integrity: string][])),
  ])('apply an integrity to the final response: %s', async (_, integrity) => {
    const { same, moved } = await open()

    await same((fetch) => fetch(moved(302, '/here'), { integrity }))
    await same((fetch) => fetch(new Request(moved(302, '/here'), { integrity })))
    await same((fetch) => fetch(moved(200, '/here').replace('/200', '/404'), { integrity }))
  })

  // Node 22 shows another status text for an opaque response.
  const modes: RequestInit['mode'][] = isNode22 ? ['cors', 'same-origin'] : ['cors', 'no-cors', 'same-origin']
  it.each(modes)('lead as far as those of fetch, and show the same response, with the mode %s', async (mode) => {
    const { same, moved, other } = await open()
    const andBack = `${other.url}/302/${encodeURIComponent(moved(302, '/back'))}`

    await same((fetch) => fetch(moved(302, '/here'), { mode }))
    await same((fetch) => fetch(moved(302, `${other.url}/there`), { mode }))
    await same((fetch) => fetch(new Request(moved(307, `${other.url}/there`), { mode })))
    await same((fetch) => fetch(moved(302, andBack), { mode }))
    await same(async (fetch) => (await fetch(moved(302, andBack))).clone())
  })

  it('leave a clone of the response redirected, and a clone of that', async () => {
    const { moved, first } = await open()

    const response = await byHand(moved(302, '/here'))
    const copy = response.clone()
    const direct = (await byHand(first.url)).clone()

    expect([copy.redirected, copy.clone().redirected, direct.redirected]).toEqual([true, true, false])
    expect([response.clone.name, response.clone.length]).toEqual(['clone', 0])
    expect(await copy.text()).toBe('arrived')
  })

  it('fail if the location has credentials', async () => {
    const { same, moved, other } = await open()

    const { reply } = await same((fetch) => fetch(moved(302, other.url.replace('//', '//user:secret@'))))

    expect(reply).toEqual(['TypeError', 'fetch failed'])
  })

  it('end after the twentieth', async () => {
    const counting = await upstream(({ path }, response) => {
      const left = Number(path.slice(1))
      if (left === 0) response.end('arrived')
      else response.writeHead(302, { location: `/${left - 1}` }).end()
    })
    for (const length of [20, 21]) {
      const [expected, actual] = await Promise.all(
        [globalThis.fetch, byHand].map((fetch) =>
          fetch(`${counting.url}/${length}`).then(({ status }) => status, String),
        ),
      )
      expect(actual).toBe(expected)
    }
  })

  it('fail with the reason as the cause', async () => {
    const { moved } = await open()

    const failure = await byHand(moved(307, '/here'), {
      method: 'POST',
      body: new Blob(['tea']).stream(),
      duplex: 'half',
    }).catch((error: Error) => error)

    expect(failure).toMatchObject({ message: 'fetch failed', cause: { message: expect.stringMatching(/stream/) } })
  })

  it('abort with the signal of the caller', async () => {
    const { moved, first } = await open()
    const slow = await upstream(() => {})
    const stop = new AbortController()

    const call = byHand(moved(302, slow.url), { signal: stop.signal })
    while (first.received.length === 0 || slow.received.length === 0) await new Promise(setImmediate)
    stop.abort(new Error('enough'))

    await expect(call).rejects.toThrow('enough')
  })
})
