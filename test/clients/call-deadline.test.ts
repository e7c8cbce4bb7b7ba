import { request as httpRequest } from 'node:http'
import { text } from 'node:stream/consumers'
import { Metadata } from '@grpc/grpc-js'
import { gather, runInScope, shield, spawn, TaskGroup, withTimeout } from 'logical-context'
import { contextFetch } from 'logical-context/clients/fetch'
import { grpcClientInterceptor } from 'logical-context/clients/grpc'
import { instrumentNodeHttp } from 'logical-context/clients/node-http'
import { undiciInterceptor } from 'logical-context/clients/undici'
import { deadline } from 'logical-context/variables'
import * as undici from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { TimeoutError } from '../../src/errors.ts'
import { asRequestUntil } from './caller.ts'
import { connectTo, serve } from './grpc-service.ts'
import { type Received, upstream } from './upstream.ts'

const minute = 60_000
const values = ['127.0.0.1']

/** Makes a call and returns the body of the response. */
type Call = (url: string) => Promise<string>

const clients: [name: string, call: Call][] = [
  ['contextFetch', async (url) => (await contextFetch.with({ values })(url)).text()],
  [
    'the interceptor of undici',
    async (url) => {
      const agent = new undici.Agent()
      onTestFinished(() => agent.destroy())
      const { body } = await undici.request(url, { dispatcher: agent.compose(undiciInterceptor({ values })) })
      return body.text()
    },
  ],
  [
    'node:http',
    async (url) => {
      using _ = instrumentNodeHttp({ values })
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      httpRequest(url, (response) => void text(response).then(resolve, reject))
        .on('error', reject)
        .end()
      return promise
    },
  ],
]

/** The remaining time that the upstream received. */
function leftFor({ headers }: Received): 'none' | 'a minute' | 'more' {
  const header = headers['grpc-timeout'] as string | undefined
  if (header === undefined) return 'none'
  return Number(header.replace(/m$/, '')) > minute ? 'more' : 'a minute'
}

describe.each(clients)('%s', (_, call) => {
  it('sends the time that a withTimeout leaves, if its limit is the earlier one', async () => {
    const { url, received } = await upstream()

    await asRequestUntil(Date.now() + 2 * minute, async () => {
      await withTimeout(() => call(url), minute)
      await withTimeout(() => call(url), 3 * minute)
      await call(url)
    })

    expect(received.map(leftFor)).toEqual(['a minute', 'more', 'more'])
  })

  it('sends a deadline that only the unit has, and the request’s in a task that is cancelled with it', async () => {
    const { url, received } = await upstream()

    await runInScope(
      async (scope) => {
        await call(url)
        scope.expireAt(Date.now() + minute)
        await call(url)
        await gather([() => call(url)])
        await spawn(() => call(url), { cancelWith: 'request' }).result()
        await spawn(() => call(url)).result()
      },
      { deadline: Date.now() + 2 * minute, group: new TaskGroup() },
    )

    expect(received.map(leftFor)).toEqual(['more', 'a minute', 'a minute', 'a minute', 'none'])
  })

  it('has in a shield only the deadlines that are set inside it', async () => {
    const { url, received } = await upstream()

    await asRequestUntil(Date.now() + minute, () =>
      shield(async () => {
        await call(url)
        await withTimeout(() => call(url), 2 * minute)
      }),
    )

    expect(received.map(leftFor)).toEqual(['none', 'more'])
  })

  it('goes on in a shield after the deadline of the request', async () => {
    const { url } = await upstream((_request, response) => setTimeout(() => response.end('ok'), 60))

    const answer = asRequestUntil(Date.now() + 20, () => shield(() => call(url)))

    expect(await answer).toBe('ok')
  })

  it('ends at the limit of a withTimeout with its error, without a call of onError', async () => {
    const { url } = await upstream(() => {})
    const failures: unknown[] = []
    const group = new TaskGroup({ onError: (error) => void failures.push(error) })
    const ends: unknown[] = []

    const limited = runInScope(
      () =>
        withTimeout(
          async () => {
            await call(url).catch((error: unknown) => {
              ends.push(error)
              throw error
            })
          },
          30,
          { name: 'reserve' },
        ),
      { group },
    )

    await expect(limited).rejects.toThrow(/^'reserve' did not end within 30 ms/)
    await expect.poll(() => ends).toEqual([expect.any(TimeoutError)])
    await group.drain()
    expect(ends).toMatchObject([
      { message: expect.stringContaining('GET http://127.0.0.1'), cause: { code: 'LCTX_TIMEOUT' } },
    ])
    expect(failures).toEqual([])
  })

  it('does the same if the deadline of the request is the earlier one', async () => {
    const { url } = await upstream(() => {})
    const failures: unknown[] = []
    const group = new TaskGroup({ onError: (error) => void failures.push(error) })

    const limited = runInScope(() => withTimeout(() => call(url), minute), { group, deadline: Date.now() + 30 })

    await expect(limited).rejects.toMatchObject({ code: 'LCTX_DEADLINE' })
    await group.drain()
    expect(failures).toEqual([])
  })

  it('does not end at the deadline of a unit that ended before the call', async () => {
    const { url } = await upstream()
    const { promise, resolve, reject } = Promise.withResolvers<string>()

    asRequestUntil(Date.now() + 10, () => void setTimeout(() => void call(url).then(resolve, reject), 30))

    await expect(promise).resolves.toBeTypeOf('string')
  })

  it('does not end at the deadline of a unit, or at the limit of a withTimeout, that ended before', async () => {
    const replies: (() => void)[] = []
    const { url } = await upstream((_request, response) => void replies.push(() => response.end('late')))
    const calls: Promise<string>[] = []
    const begin = async () => void calls.push(call(url))

    await asRequestUntil(Date.now() + 100, begin)
    await runInScope(() => withTimeout(begin, 100))
    await new Promise((resolve) => setTimeout(resolve, 110))
    await expect.poll(() => replies.length).toBe(2)
    for (const reply of replies) reply()

    expect(await Promise.all(calls)).toEqual(['late', 'late'])
  })

  it('ends at the deadline of a unit that ended because of it', async () => {
    const { url } = await upstream(() => {})
    const failed = Promise.withResolvers<unknown>()

    const unit = asRequestUntil(Date.now() + 50, ({ signal }) => {
      void call(url).catch(failed.resolve)
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })

    await expect(unit).rejects.toMatchObject({ code: 'LCTX_DEADLINE' })
    expect(await failed.promise).toMatchObject({ code: 'LCTX_TIMEOUT', cause: { code: 'LCTX_DEADLINE' } })
  })

  it('ends at the deadline of the request after the end of a withTimeout with an earlier limit', async () => {
    const { url } = await upstream(() => {})

    const error = await asRequestUntil(Date.now() + 400, async () => {
      const { promise } = await withTimeout(async () => ({ promise: call(url) }), 300)
      return promise.catch((failure: unknown) => failure)
    })

    expect(error).toMatchObject({ code: 'LCTX_TIMEOUT', cause: { code: 'LCTX_DEADLINE' } })
  })

  it('ends at the deadline of the request after the end of the task and the withTimeout that made it', async () => {
    const { url } = await upstream(() => {})
    const begin = async () => ({ promise: call(url) })

    // A first call can take long on a busy machine: it loads its client.
    const errors = await asRequestUntil(Date.now() + 400, async () => {
      const begun = await gather([begin, () => withTimeout(begin, 300)])
      return Promise.all(begun.map(({ promise }) => promise.catch((failure: unknown) => failure)))
    })

    const timeout = { code: 'LCTX_TIMEOUT', cause: { code: 'LCTX_DEADLINE' } }
    expect(errors).toMatchObject([timeout, timeout])
  })

  it('ends at the variable deadline after the end of a withTimeout with an earlier limit', async () => {
    const { url } = await upstream(() => {})

    const error = await runInScope(async () => {
      deadline.set(Date.now() + 400)
      const { promise } = await withTimeout(async () => ({ promise: call(url) }), 300)
      return promise.catch((failure: unknown) => failure)
    })

    expect(error).toMatchObject({ code: 'LCTX_TIMEOUT' })
    expect(error).not.toHaveProperty('cause')
  })

  it('ends at a deadline that was set for the call only, and aborts nothing else', async () => {
    const { url } = await upstream(() => {})

    const [error, aborted] = await asRequestUntil(Date.now() + minute, async ({ signal }) => [
      await deadline.run(Date.now() + 20, () => call(url).catch((failure: unknown) => failure)),
      signal.aborted,
    ])

    expect(error).toMatchObject({ code: 'LCTX_TIMEOUT' })
    expect(error).not.toHaveProperty('cause')
    expect(aborted).toBe(false)
  })
})

describe('the interceptor of gRPC', () => {
  it('aborts no work of the caller for a callee whose own deadline was the earlier one', async () => {
    const port = await serve({ unary: (_call, callback) => callback({ code: 4, details: 'the stock is slow' }) })
    const client = connectTo(`127.0.0.1:${port}`, { interceptors: [grpcClientInterceptor()] })

    const [error, aborted] = await runInScope(() =>
      withTimeout(async ({ signal }) => {
        const failed = Promise.withResolvers<unknown>()
        client['unary']?.('order', new Metadata(), failed.resolve)
        return [await failed.promise, signal.aborted]
      }, minute),
    )

    expect(error).toMatchObject({ code: 4, details: 'the stock is slow' })
    expect(error).not.toHaveProperty('cause')
    expect(aborted).toBe(false)
  })

  it('aborts no work around a withTimeout that ended before the deadline of its call', async () => {
    const port = await serve({ unary: () => {} })
    const client = connectTo(`127.0.0.1:${port}`, { interceptors: [grpcClientInterceptor()] })
    const failed = Promise.withResolvers<unknown>()

    const [error, aborted] = await asRequestUntil(Date.now() + minute, async ({ signal }) => {
      await withTimeout(() => void client['unary']?.('order', new Metadata(), failed.resolve), 30)
      return [await failed.promise, signal.aborted]
    })

    expect(error).toMatchObject({ code: 4 })
    expect(error).not.toHaveProperty('cause')
    expect(aborted).toBe(false)
  })

  it('ends the call at the limit of a withTimeout, and not in a shield', async () => {
    const port = await serve({ unary: (_call, callback) => setTimeout(() => callback(null, 'ok'), 60) })
    const client = connectTo(`127.0.0.1:${port}`, { interceptors: [grpcClientInterceptor()] })
    const order = (): Promise<string> => {
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      client['unary']?.('order', new Metadata(), (error: Error | null, reply: string) =>
        error === null ? resolve(reply) : reject(error),
      )
      return promise
    }

    const failures: unknown[] = []
    const group = new TaskGroup({ onError: (error) => void failures.push(error) })
    const ends: unknown[] = []
    const ended = (error: unknown) => {
      ends.push(error)
      throw error
    }

    const limited = runInScope(() => withTimeout(() => order().catch(ended), 20, { name: 'reserve' }), { group })

    await expect(limited).rejects.toThrow(/^'reserve' did not end within 20 ms/)
    await expect.poll(() => ends).toMatchObject([{ code: 4, cause: { code: 'LCTX_TIMEOUT' } }])
    await group.drain()
    expect(failures).toEqual([])
    expect(await asRequestUntil(Date.now() + 20, () => shield(order))).toBe('ok')
  })
})
