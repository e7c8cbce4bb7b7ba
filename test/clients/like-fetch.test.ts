import { gzipSync } from 'node:zlib'
import { contextFetch, type Fetch } from 'logical-context/clients/fetch'
import { describe, expect, it } from 'vitest'
import { upstream } from './upstream.ts'

/** One that leaves redirects to `fetch`, and one that follows them itself. Neither writes a header. */
const clients: [name: string, fetch: Fetch][] = [
  ['contextFetch', contextFetch.with({ propagators: [] })],
  ['contextFetch with a list of hosts', contextFetch.with({ propagators: [], values: ['127.0.0.1'] })],
]

const closedPort = 'http://127.0.0.1:1/'

async function open() {
  const server = await upstream(({ path, method, headers, body }, response) => {
    if (path === '/moved') response.writeHead(302, { location: '/echo' }).end()
    else if (path === '/moved-slow') response.writeHead(302, { location: '/slow' }).end()
    else if (path === '/slow') response.write('first')
    else if (path === '/never') return
    else if (path === '/cut') response.writeHead(200, { 'content-length': '9' }).write('half', () => response.destroy())
    else if (path === '/gzip') response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('tea'))
    else if (path === '/cookies') response.writeHead(200, { 'set-cookie': ['a=1', 'b=2'] }).end()
    else if (/^\/\d+$/.test(path)) response.writeHead(Number(path.slice(1)), 'As said').end()
    else {
      const { 'content-type': type, 'content-length': length } = headers
      response.setHeader('x-tea', 'green').end(JSON.stringify({ method, type, length, own: headers['x-own'], body }))
    }
  })
  return server.url
}

/** What the caller sees of a result: no figure that differs between two calls. */
async function outcomeOf(fetch: Fetch, call: (fetch: Fetch) => unknown): Promise<unknown> {
  try {
    return { result: await call(fetch) }
  } catch (error) {
    return { error: shown(error) }
  }
}

function shown(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { name, message, cause } = error
  const { code } = error as { code?: unknown }
  return { name, message, code, kind: error.constructor.name, cause: shown(cause) }
}

async function read(response: Response): Promise<unknown> {
  const { status, statusText, ok, url, redirected, bodyUsed } = response
  const headers = [...response.headers].filter(([name]) => name !== 'date')
  return {
    status,
    statusText,
    ok,
    url,
    redirected,
    bodyUsed,
    headers,
    text: await response.text(),
    after: response.bodyUsed,
  }
}

const post = { method: 'POST', headers: { 'x-own': 'own' } }

const withBody: RequestInit = { body: 'tea' }

const promises: [promise: string, call: (fetch: Fetch, url: string) => unknown][] = [
  // Arguments
  ['accepts a string', async (fetch, url) => read(await fetch(`${url}/echo`))],
  ['accepts a URL', async (fetch, url) => read(await fetch(new URL('/echo?a=b#c', url)))],
  ['accepts a Request', async (fetch, url) => read(await fetch(new Request(`${url}/echo`, { ...post, body: 'tea' })))],
  [
    'prefers the settings of the second argument',
    async (fetch, url) =>
      read(await fetch(new Request(`${url}/echo`, { ...post, body: 'tea' }), { method: 'PUT', body: 'x' })),
  ],
  ['normalises a method', async (fetch, url) => read(await fetch(`${url}/echo`, { method: 'post' }))],
  ['sends an own method as it is', async (fetch, url) => read(await fetch(`${url}/echo`, { method: 'PROPFIND' }))],
  [
    'reads headers from pairs',
    async (fetch, url) =>
      read(
        await fetch(`${url}/echo`, {
          headers: [
            ['X-Own', 'a'],
            ['x-own', 'b'],
          ],
        }),
      ),
  ],
  [
    'reads headers from Headers',
    async (fetch, url) => read(await fetch(`${url}/echo`, { headers: new Headers({ 'x-own': 'a' }) })),
  ],
  [
    'ignores undefined options',
    async (fetch, url) => read(await fetch(`${url}/echo`, { body: undefined, signal: undefined })),
  ],
  [
    'takes null as no signal and no body',
    async (fetch, url) => read(await fetch(`${url}/echo`, { body: null, signal: null })),
  ],
  // Bodies
  ['sends text with its type', async (fetch, url) => read(await fetch(`${url}/echo`, { ...post, body: 'tea' }))],
  [
    'sends parameters with their type',
    async (fetch, url) => read(await fetch(`${url}/echo`, { ...post, body: new URLSearchParams({ a: 'b c' }) })),
  ],
  [
    'sends a blob with its type',
    async (fetch, url) => read(await fetch(`${url}/echo`, { ...post, body: new Blob(['tea'], { type: 'text/tea' }) })),
  ],
  [
    'sends bytes without a type',
    async (fetch, url) => read(await fetch(`${url}/echo`, { ...post, body: new TextEncoder().encode('tea') })),
  ],
  [
    'sends a stream',
    async (fetch, url) =>
      read(await fetch(`${url}/echo`, { ...post, body: new Blob(['tea']).stream(), duplex: 'half' })),
  ],
  [
    'uses the body of a Request up',
    async (fetch, url) => {
      const request = new Request(`${url}/echo`, { ...post, body: 'tea' })
      const reply = await read(await fetch(request))
      return { reply, used: request.bodyUsed, again: await outcomeOf(fetch, (again) => again(request)) }
    },
  ],
  [
    'fails for the body of a Request that other code reads',
    async (fetch, url) => {
      const request = new Request(`${url}/echo`, { ...post, body: 'tea' })
      request.body?.getReader()
      return fetch(request)
    },
  ],
  // Responses
  ['decodes gzip', async (fetch, url) => (await fetch(`${url}/gzip`)).text()],
  ['keeps several cookies apart', async (fetch, url) => (await fetch(`${url}/cookies`)).headers.getSetCookie()],
  ['resolves for a failure of the server', async (fetch, url) => read(await fetch(`${url}/500`))],
  ['resolves for a status without a body', async (fetch, url) => read(await fetch(`${url}/204`))],
  ['does not let its headers be changed', async (fetch, url) => (await fetch(`${url}/echo`)).headers.append('a', 'b')],
  [
    'can be cloned before it is read, and not after',
    async (fetch, url) => {
      const response = await fetch(`${url}/echo`)
      const texts = [await response.clone().text(), await response.text()]
      return { texts, late: await outcomeOf(fetch, () => response.clone()) }
    },
  ],
  ['is a Response', async (fetch, url) => (await fetch(`${url}/moved`)) instanceof Response],
  ['fails to read a body that breaks off', async (fetch, url) => (await fetch(`${url}/cut`)).text()],
  // Redirects
  ['follows a redirect', async (fetch, url) => read(await fetch(`${url}/moved`))],
  ['refuses a redirect', async (fetch, url) => fetch(`${url}/moved`, { redirect: 'error' })],
  ['leaves a redirect to the caller', async (fetch, url) => read(await fetch(`${url}/moved`, { redirect: 'manual' }))],
  // Signals
  [
    'rejects with the reason of an aborted signal',
    async (fetch, url) => fetch(`${url}/echo`, { signal: AbortSignal.abort(new RangeError('enough')) }),
  ],
  ['rejects with any reason', async (fetch, url) => fetch(`${url}/echo`, { signal: AbortSignal.abort('enough') })],
  [
    'rejects with the reason of a Request’s signal',
    async (fetch, url) => fetch(new Request(`${url}/echo`, { signal: AbortSignal.abort() })),
  ],
  [
    'rejects when the signal aborts',
    (fetch, url) => abortedAfter(url, '/never', (signal) => fetch(`${url}/never`, { signal })),
  ],
  ['stops the body when the signal aborts', (fetch, url) => abortedBody(fetch, `${url}/slow`)],
  ['stops the body after a redirect when the signal aborts', (fetch, url) => abortedBody(fetch, `${url}/moved-slow`)],
  ['rejects at a timeout', async (fetch, url) => fetch(`${url}/never`, { signal: AbortSignal.timeout(20) })],
  // Failures
  ['fails for a refused connection', async (fetch) => fetch(closedPort)],
  ['fails for an invalid URL', async (fetch) => fetch('http://[')],
  ['fails for a relative URL', async (fetch) => fetch('/path')],
  ['fails for an unknown scheme', async (fetch) => fetch('gopher://127.0.0.1/')],
  ['fails for a URL with credentials', async (fetch, url) => fetch(url.replace('//', '//user:secret@'))],
  ['fails for a GET with a body', async (fetch, url) => fetch(url, { ...withBody, method: 'GET' })],
  [
    'fails for a stream without duplex',
    async (fetch, url) => fetch(url, { method: 'POST', body: new Blob(['tea']).stream() }),
  ],
  ['fails for a forbidden method', async (fetch, url) => fetch(url, { method: 'TRACE' })],
  ['fails for an invalid method', async (fetch, url) => fetch(url, { method: 'A B' })],
  ['fails for an invalid name of a header', async (fetch, url) => fetch(url, { headers: { 'a b': 'c' } })],
  ['fails for an invalid value of a header', async (fetch, url) => fetch(url, { headers: { a: 'b\nc' } })],
  ['fails for null as headers', async (fetch, url) => fetch(url, { headers: null as never })],
  ['fails for an invalid signal', async (fetch, url) => fetch(url, { signal: {} as never })],
  ['fails for a number as URL', async (fetch) => fetch(5 as never)],
  ['fails for no URL', async (fetch) => fetch(undefined as never)],
  ['fails for null as URL', async (fetch) => fetch(null as never)],
  [
    'accepts an object with toString',
    async (fetch, url) => read(await fetch({ toString: () => `${url}/moved` } as never)),
  ],
  ['fails for an unknown mode of redirects', async (fetch, url) => fetch(url, { redirect: 'never' as never })],
  // Other schemes
  ['reads a data URL', async (fetch) => read(await fetch('data:text/plain,tea'))],
  [
    'reads a blob URL',
    async (fetch) => {
      const url = URL.createObjectURL(new Blob(['tea'], { type: 'text/tea' }))
      try {
        return await (await fetch(url)).text()
      } finally {
        URL.revokeObjectURL(url)
      }
    },
  ],
]

async function abortedAfter(url: string, path: string, call: (signal: AbortSignal) => Promise<Response>) {
  const controller = new AbortController()
  const pending = call(controller.signal)
  // The reply of a later request shows that the earlier one was sent.
  await (await globalThis.fetch(`${url}/echo`)).text()
  controller.abort(new RangeError(`enough of ${path}`))
  return pending
}

async function abortedBody(fetch: Fetch, url: string): Promise<string> {
  const controller = new AbortController()
  const response = await fetch(url, { signal: controller.signal })
  const text = response.text()
  controller.abort(new RangeError('enough'))
  return text
}

describe.each(clients)('%s keeps what fetch promises', (_client, fetch) => {
  it.each(promises)('%s', async (_promise, call) => {
    const url = await open()
    const expected = await outcomeOf(globalThis.fetch, (platform) => call(platform, url))

    expect(await outcomeOf(fetch, (own) => call(own, url))).toEqual(expected)
  })

  it('has the length of fetch, and never throws before it returns', () => {
    const pending = [() => fetch(undefined as never), () => fetch('http://['), () => fetch(closedPort, 5 as never)]

    expect(fetch).toHaveLength(globalThis.fetch.length)
    for (const start of pending) {
      const promise = start()
      expect(promise).toBeInstanceOf(Promise)
      promise.catch(() => {})
    }
  })
})
