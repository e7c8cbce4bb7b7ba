import { ContextVar, type RequestScope, spawn } from 'logical-context'
import { requestId, traceContext } from 'logical-context/variables'
import { afterEach, describe, expect, it } from 'vitest'

/** A server with the tested middleware. */
export interface ServedRequests {
  url: string
  /** As the framework closes it. */
  close(): Promise<unknown>
}

/** Serves every GET with the result of `handler` for its path, as JSON. A failure is answered with the status 500. */
export type ServeRequests = (handler: (path: string, scope: RequestScope) => unknown) => Promise<ServedRequests>

const value = new ContextVar<string>('value')

/** What every middleware promises, whatever the framework, over real sockets. */
export function describeMiddleware(name: string, serve: ServeRequests): void {
  const served: ServedRequests[] = []
  const open: ServeRequests = async (handler) => {
    const server = await serve(handler)
    served.push(server)
    return server
  }
  const ask = async ({ url }: ServedRequests, path: string, headers: Record<string, string> = {}) =>
    (await fetch(`${url}${path}`, { headers })).json() as Promise<Record<string, unknown>>
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
  afterEach(async () => {
    await Promise.all(served.splice(0).map((server) => server.close()))
  })

  describe(`${name}, as every middleware`, () => {
    it('starts each request with nothing, and keeps overlapping ones apart', async () => {
      const server = await open(async (path) => {
        const before = value.get() ?? null
        value.set(path)
        for (let i = 0; i < 5; i++) await turn()
        return { before, after: value.get() }
      })
      const paths = Array.from({ length: 20 }, (_, index) => `/${index}`)

      const answers = await Promise.all(paths.map((path) => ask(server, path)))

      expect(answers).toEqual(paths.map((after) => ({ before: null, after })))
    })

    it("takes a private peer's trace and request id, and creates both for a request without them", async () => {
      const traceId = '0af7651916cd43dd8448eb211c80319c'
      const server = await open(() => ({ id: requestId.get(), trace: traceContext.get()?.traceId }))

      const told = await ask(server, '/', {
        'x-request-id': 'r-1',
        traceparent: `00-${traceId}-b7ad6b7169203331-01`,
      })
      const untold = await ask(server, '/')

      expect(told).toEqual({ id: 'r-1', trace: traceId })
      expect(untold).toEqual({
        id: expect.stringMatching(/^[\da-f-]{36}$/),
        trace: expect.stringMatching(/^[\da-f]{32}$/),
      })
    })

    it('answers with a failure what fails, and seals the unit all the same', async () => {
      let scope: RequestScope | undefined
      const server = await open((_path, current) => {
        scope = current
        value.set('mine')
        throw new Error('no')
      })

      expect((await fetch(server.url)).status).toBe(500)
      await expect.poll(() => scope?.sealed).toBe(true)
      expect(scope?.context.has(value)).toBe(false)
      expect(scope?.context.has(requestId)).toBe(true)
    })

    it('continues a task after the reply with the values of its spawn, and waits for it at the close', async () => {
      const go = Promise.withResolvers<void>()
      const seen: unknown[] = []
      const server = await open(() => {
        value.set('spawned')
        spawn(async () => {
          await go.promise
          seen.push(value.get())
        })
        value.set('later')
        return {}
      })

      await ask(server, '/')
      const closed = server.close().then(() => seen.push('closed'))
      await turn()
      go.resolve()
      await closed

      expect(seen).toEqual(['spawned', 'closed'])
    })

    it('aborts the signal of a request whose client has hung up, and of no other', async () => {
      const reasons: unknown[] = []
      const hangUp = new AbortController()
      const server = await open(async (path, scope) => {
        if (path === '/stays') return { aborted: scope.signal.aborted }
        const aborted = new Promise((resolve) => scope.signal.addEventListener('abort', resolve))
        hangUp.abort()
        await aborted
        reasons.push((scope.signal.reason as { code: string }).code, value.get() ?? null)
        return {}
      })

      await expect(fetch(`${server.url}/leaves`, { signal: hangUp.signal })).rejects.toThrow('aborted')
      await expect.poll(() => reasons).toEqual(['LCTX_CLIENT_GONE', null])

      expect(await ask(server, '/stays')).toEqual({ aborted: false })
    })
  })
}
