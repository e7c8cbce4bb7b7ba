import { get, type IncomingHttpHeaders } from 'node:http'
import { text } from 'node:stream/consumers'
import express from 'express'
import Fastify from 'fastify'
import { ContextVar } from 'logical-context'
import { inspector, type InspectorHandlerOptions, inspectorHandler } from 'logical-context/inspector'
import inject from 'light-my-request'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { appWith, handlerWith } from './served.ts'

interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A request with any headers: `fetch` does not send a `Host` of the program. */
function ask(url: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  get(url, { headers, method, agent: false }, (response) => {
    const { statusCode: status, headers: received } = response
    text(response).then((body) => resolve({ status, headers: received, body }), reject)
  }).on('error', reject)
  return promise
}

function setEnvironment(name: string, value: string): void {
  vi.stubEnv(name, value)
  onTestFinished(() => void vi.unstubAllEnvs())
}

type Open = (options?: InspectorHandlerOptions) => Promise<{ page: string }>

function openApp(options?: InspectorHandlerOptions): Promise<{ page: string }> {
  const { guard, ...others } = { ...options }
  return appWith({ ...others, ...(guard && { guard: ({ raw }) => guard(raw) }) })
}

const served: readonly [name: string, open: Open][] = [
  ['the Fastify plugin', openApp],
  ['the plain handler', handlerWith],
]

describe.each(served)('%s of the inspector', (_, open) => {
  it('serves the page and its files, each with a strict policy, and nothing to other origins', async () => {
    const { page } = await open()
    const pages = ['/', '/page.js', '/page.css', '/icon.svg']

    const answers = await Promise.all(pages.map((path) => ask(page + path, { origin: 'https://example.com' })))

    expect(answers.map(({ status, headers }) => [status, headers['content-type']])).toEqual([
      [200, 'text/html; charset=utf-8'],
      [200, 'text/javascript; charset=utf-8'],
      [200, 'text/css; charset=utf-8'],
      [200, 'image/svg+xml'],
    ])
    for (const { headers } of answers) {
      expect(headers['content-security-policy']).toMatch(/^default-src 'none'; script-src 'self'; /)
      expect(headers['content-security-policy']).not.toMatch(/unsafe|\*|http/)
      expect(headers).toMatchObject({
        'cache-control': 'no-store',
        'cross-origin-resource-policy': 'same-origin',
        'x-content-type-options': 'nosniff',
      })
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([])
    }
    expect(answers[0]?.body).not.toMatch(/<script(?! type="module" src="page\.js"><\/script>)|<style| style=| on\w+=/)
  })

  it('redirects the prefix to the page, and answers other paths with 404', async () => {
    const { page } = await open({ prefix: '/internal/look' })

    const [moved, other] = await Promise.all([ask(page), ask(`${page}/%2e%2e/package.json`)])

    expect([moved.status, moved.headers.location]).toEqual([302, 'look/'])
    expect(new URL('look/', page).href).toBe(`${page}/`)
    expect(other.status).toBe(404)
  })

  it('reads only', async () => {
    const { page } = await open()

    const answers = [await ask(`${page}/`, {}, 'HEAD'), await ask(`${page}/`, {}, 'POST')]

    expect(answers.map(({ status }) => status)).toEqual([200, expect.toBeOneOf([404, 405])])
  })

  it.each<[name: string, headers: Record<string, string>]>([
    ['a name of another site that resolves to loopback', { host: 'evil.example:80' }],
    ['a private address', { host: '10.0.0.1' }],
    ['a name that begins like a loopback one', { host: '127.0.0.1.evil.example' }],
    ['an invalid host', { host: 'local host' }],
    ['a proxy by X-Forwarded-For', { 'x-forwarded-for': '203.0.113.1' }],
    ['a proxy by Forwarded', { forwarded: 'for=203.0.113.1' }],
    ['a proxy by Via', { via: '1.1 proxy' }],
  ])('refuses %s, for every file', async (_name, headers) => {
    const { page } = await open()

    const answers = await Promise.all(['', '/', '/page.js', '/events', '/x'].map((path) => ask(page + path, headers)))

    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 403, 403])
    expect(answers[1]?.body).toContain("'guard'")
  })

  it.each(['localhost', 'localhost:8080', '127.0.0.1', '127.1.2.3:80', '[::1]:3000', 'shop.localhost'])(
    'accepts the host %s from this machine',
    async (host) => {
      const { page } = await open()

      expect((await ask(`${page}/`, { host })).status).toBe(200)
    },
  )

  it.each<[name: string, guard: () => unknown, status: number]>([
    ['true', () => true, 200],
    ['a promise of true', async () => true, 200],
    ['false', () => false, 403],
    ['a promise of false', async () => false, 403],
    ['a value that is only truthy', () => 'yes', 403],
    ['nothing', () => undefined, 403],
  ])('calls the guard in place of its own rule: %s', async (_name, guard, status) => {
    const { page } = await open({ guard: guard as () => boolean })

    const answers = await Promise.all(
      ['/', '/events?own', '/page.js'].map((path) =>
        ask(page + path, { host: 'shop.example', connection: 'close' }, 'HEAD'),
      ),
    )

    expect(answers.map((answer) => answer.status)).toEqual([status, status, status])
  })

  it('refuses if the guard fails, and logs the failure once', async () => {
    const error = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => error.mockRestore())
    const { page } = await open({ guard: () => Promise.reject(new Error('no directory')) })

    const answers = [await ask(`${page}/`), await ask(`${page}/`)]

    expect(answers.map(({ status }) => status)).toEqual([403, 403])
    expect(error.mock.calls).toEqual([[expect.stringContaining('no directory')]])
  })
})

describe('the peer', () => {
  const handler = inspectorHandler()
  const app = Fastify()
  void app.register(inspector)

  it.each<[address: string, status: number]>([
    ['127.0.0.1', 200],
    ['127.8.9.1', 200],
    ['::1', 200],
    ['::ffff:127.0.0.1', 200],
    ['10.0.0.1', 403],
    ['192.168.1.1', 403],
    ['203.0.113.1', 403],
    ['::ffff:203.0.113.1', 403],
    ['fe80::1', 403],
  ])('with the address %s is answered with %i', async (remoteAddress, status) => {
    const request = { url: '/__context/', remoteAddress, headers: { host: 'localhost' } }

    const answers = [await inject(handler, request), await app.inject(request)]

    expect(answers.map(({ statusCode }) => statusCode)).toEqual([status, status])
  })
})

describe('in production', () => {
  it('the registration throws without a guard, with the remedy', async () => {
    setEnvironment('NODE_ENV', 'production')
    const app = Fastify()

    expect(() => inspectorHandler()).toThrow(TypeError)
    expect(() => inspectorHandler()).toThrow(/'guard' in production, got none.*development only/)
    await expect(app.register(inspector).ready()).rejects.toThrow(
      "inspector: expected the option 'guard' in production",
    )
  })

  it('a guard admits', async () => {
    setEnvironment('NODE_ENV', 'production')
    const { page } = await handlerWith({ guard: async ({ headers }) => headers.authorization === 'Bearer key' })

    const answers = [await ask(`${page}/`), await ask(`${page}/`, { authorization: 'Bearer key' })]

    expect(answers.map(({ status }) => status)).toEqual([403, 200])
  })
})

describe('the options', () => {
  const secret = new ContextVar<string>('secret', { sensitive: true })

  it.each<[name: string, options: unknown, message: string]>([
    ['an unknown one', { port: 1 }, "unknown option 'port'"],
    ['a sensitive field', { fields: { secret } }, "the sensitive 'secret'"],
    ['a field that is not a variable', { fields: { user: 'ann' } }, 'expected a ContextVar'],
    ['a guard that is not a function', { guard: true }, "option 'guard' expected a function"],
    ['a service that is not a URL', { services: ['orders:3001'] }, "option 'services' expected a list of URLs"],
    ['a list of services that is not a list', { services: 'http://127.0.0.1' }, "option 'services'"],
    ['a count of 0', { maxRows: 0 }, "option 'maxRows' expected a whole number"],
    ['a prefix without a slash', { prefix: 'look' }, "option 'prefix' expected a path"],
    ['a prefix that ends with a slash', { prefix: '/look/' }, "option 'prefix' expected a path"],
    ['no object', null, 'expected an options object'],
  ])('of the handler are checked: %s', (_, options, message) => {
    expect(() => inspectorHandler(options as never)).toThrow(TypeError)
    expect(() => inspectorHandler(options as never)).toThrow(message)
  })

  it('of the plugin are checked when it is registered', async () => {
    const app = Fastify()

    await expect(app.register(inspector, { fields: { secret } }).ready()).rejects.toThrow("the sensitive 'secret'")
  })
})

describe('inspector', () => {
  it('serves the page at a prefix that ends with a slash', async () => {
    const { page } = await openApp({ prefix: '/look/' })

    const answers = await Promise.all([ask(page), ask(`${page}page.js`)])

    expect(answers.map(({ status }) => status)).toEqual([200, 200])
  })
})

describe('inspectorHandler', () => {
  it('serves its prefix in an app of Express that is mounted there, or that uses it at that path', async () => {
    const handler = inspectorHandler({ prefix: '/debug/look' })
    onTestFinished(() => handler.close())
    const inner = express().use('/look', handler)
    const app = express().use('/debug', inner) as never

    const answers = [await inject(app, '/debug/look'), await inject(app, '/debug/look/'), await inject(app, '/look/')]

    expect(answers.map(({ statusCode }) => statusCode)).toEqual([302, 200, 404])
    expect(answers[0]?.headers.location).toBe('look/')
  })

  it('calls next for other paths, and answers them with 404 without a next', async () => {
    const handler = inspectorHandler({ prefix: '/look' })
    onTestFinished(() => handler.close())
    const next = vi.fn()
    const alone = await inject(handler, { url: '/looking' })

    await inject(
      ((request: never, response: { end(): void }) =>
        handler(request, response as never, () => {
          next()
          response.end()
        })) as never,
      '/looking',
    )

    expect(next).toHaveBeenCalledOnce()
    expect(alone.statusCode).toBe(404)
  })
})
