import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { ContextVar } from '../context/context-var.ts'
import { anyOf, checkArgument, checkFunction } from '../options.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { spawn } from '../tasks/spawn.ts'
import { requestId } from '../variables/request-id.ts'
import { traceContext } from '../variables/trace-context.ts'
import { checkRunner, type TestRunner } from './runner.ts'

/** A server with the middleware under test. */
export interface ServedRequests {
  /** Its address, without a path. */
  url: string
  /** Closes it as its framework does, and waits for its tasks. */
  close(): Promise<unknown>
}

/**
 * Starts a server on 127.0.0.1. It answers every GET with the result of `handler` for its path, as JSON, and a failure of
 * `handler` with the status 500.
 */
export type ServeRequests = (handler: (path: string, scope: RequestScope) => unknown) => Promise<ServedRequests>

const aServer = anyOf('a server with its address and close(), { url, close }', (value) => {
  const { url, close } = Object(value) as Partial<ServedRequests>
  return URL.canParse(url ?? '') && typeof close === 'function'
})

/**
 * Defines the tests that every middleware must pass, over real sockets.
 *
 * @throws {TypeError} if `serve` is not a function.
 */
export function describeMiddleware(runner: TestRunner, name: string, serve: ServeRequests): void {
  checkRunner('describeMiddleware', runner)
  checkFunction('describeMiddleware', serve)
  const { describe, it, expect } = runner
  /** A test whose servers are closed at its end. */
  const test = (title: string, body: (open: ServeRequests) => Promise<void>) =>
    it(title, async () => {
      const served: ServedRequests[] = []
      try {
        await body(async (handler) => {
          const server = await serve(handler)
          checkArgument('describeMiddleware: the result of serve', aServer, server)
          served.push(server)
          return server
        })
      } finally {
        await Promise.all(served.map((server) => server.close()))
      }
    })

  describe(`${name}, as every middleware`, () => {
    test('starts each request without values, and separates requests that overlap', async (open) => {
      const value = new ContextVar<string>('value')
      const server = await open(async (path) => {
        const before = value.get() ?? null
        value.set(path)
        for (let i = 0; i < 5; i++) await turn()
        return { before, after: value.get() }
      })
      const paths = Array.from({ length: 20 }, (_, index) => `/${index}`)

      const replies = await Promise.all(paths.map((path) => get(server, path)))

      expect(replies).toEqual(paths.map((after) => ({ before: null, after })))
    })

    test("continues a private peer's trace and request id, and creates both if they are missing", async (open) => {
      const traceId = '0af7651916cd43dd8448eb211c80319c'
      const server = await open(() => ({ id: requestId.get(), trace: traceContext.get()?.traceId }))

      const continued = await get(server, '/', {
        'x-request-id': 'r-1',
        traceparent: `00-${traceId}-b7ad6b7169203331-01`,
      })
      const created = await get(server, '/')

      expect(continued).toEqual({ id: 'r-1', trace: traceId })
      expect(/^[\da-f-]{36}$/.test(String(created['id']))).toEqual(true)
      expect(/^[\da-f]{32}$/.test(String(created['trace']))).toEqual(true)
    })

    test('answers a failed request with a failure, and seals its unit', async (open) => {
      const value = new ContextVar<string>('value')
      const scopes: RequestScope[] = []
      const server = await open((_path, scope) => {
        scopes.push(scope)
        value.set('mine')
        throw new Error('planted')
      })

      const { status } = await fetch(server.url)
      await Promise.all(scopes.map(sealOf))

      expect(status).toEqual(500)
      expect(scopes.map(({ context }) => [context.has(value), context.has(requestId)])).toEqual([[false, true]])
    })

    test('continues a task after the reply with the values of its spawn, and waits for it at the close', async (open) => {
      const value = new ContextVar<string>('value')
      const gate = Promise.withResolvers<void>()
      const events: unknown[] = []
      const server = await open(() => {
        value.set('spawned')
        spawn(async () => {
          await gate.promise
          events.push(value.get())
        })
        value.set('later')
        return {}
      })

      await get(server, '/')
      const closed = server.close().then(() => events.push('closed'))
      await turn()
      gate.resolve()
      await closed

      expect(events).toEqual(['spawned', 'closed'])
    })

    test('aborts the signal of a request whose client disconnected, and no other', async (open) => {
      const value = new ContextVar<string>('value')
      const client = new AbortController()
      const seen = Promise.withResolvers<unknown[]>()
      const server = await open(async (path, scope) => {
        if (path === '/stays') return { aborted: scope.signal.aborted }
        const aborted = new Promise((resolve) => scope.signal.addEventListener('abort', resolve))
        client.abort()
        await aborted
        seen.resolve([(scope.signal.reason as { code: string }).code, value.get() ?? null])
        return {}
      })

      const failure: unknown = await fetch(new URL('/leaves', server.url), { signal: client.signal }).catch(
        (error: unknown) => error,
      )

      expect((failure as Error).name).toEqual('AbortError')
      expect(await seen.promise).toEqual(['LCTX_CLIENT_GONE', null])
      expect(await get(server, '/stays')).toEqual({ aborted: false })
    })
  })
}

async function get(
  { url }: ServedRequests,
  path: string,
  headers: Record<string, string> = {},
): Promise<Record<string, unknown>> {
  const response = await fetch(new URL(path, url), { headers })
  return (await response.json()) as Record<string, unknown>
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

const sealChannel = 'logical-context:scope:seal'

/** Resolves when the scope is sealed. */
function sealOf(scope: RequestScope): Promise<void> {
  if (scope.sealed) return Promise.resolve()
  return new Promise((resolve) => {
    const listener = (event: unknown) => {
      if ((event as { scope: RequestScope }).scope !== scope) return
      unsubscribe(sealChannel, listener)
      resolve()
    }
    subscribe(sealChannel, listener)
  })
}
