import { createServer } from 'node:http'
import { LogicalContext } from 'logical-context'
import { Inbound } from 'logical-context/middleware/inbound'
import { mayInject, type Propagator } from 'logical-context/propagators'
import { describeMessages, describeMiddleware, describePropagator, type TestRunner } from 'logical-context/testing'
import { describe, expect, it } from 'vitest'
import { ownHeader, region } from '../propagators/own-header.ts'

/** Defines the tests of a suite, runs them one after the other, and returns the titles of those that fail. */
async function failuresOf(define: (runner: TestRunner) => void): Promise<string[]> {
  const tests: [title: string, body: () => Promise<void>][] = []
  define({ describe: (_name, body) => body(), it: (title, body) => void tests.push([title, body]), expect })
  const failures: string[] = []
  for (const [title, body] of tests) await body().catch(() => failures.push(title))
  return failures
}

const samples = {
  variables: [region],
  contexts: [LogicalContext.empty.with(region, 'eu'), LogicalContext.empty.with(region, 'us')],
  texts: ['eu', 'us', 'EU', 'eu, us', ''],
}

describe('describePropagator', () => {
  it('accepts a propagator that keeps the contract', async () => {
    const failures = await failuresOf((runner) => describePropagator(runner, 'region', () => ownHeader, samples))

    expect(failures).toEqual([])
  })

  it.each<[name: string, change: Partial<Propagator>, failures: string[]]>([
    ['lists a field in upper case', { fields: ['X-Region'] }, ['lists its fields once, in lower case']],
    [
      'throws for a malformed text',
      {
        extract(context, carrier, peer) {
          const read = ownHeader.extract(context, carrier, peer)
          if (carrier.has('x-region') && !read.has(region)) throw new Error('malformed')
          return read
        },
      },
      ["does not throw for any header, with trace 'continue' and values true"],
    ],
    [
      'ignores the trust in the peer',
      { extract: (context, carrier, peer) => ownHeader.extract(context, carrier, { ...peer, values: true }) },
      ['accepts no values from a peer that may set none, and no trace with ignore'],
    ],
    [
      'ignores the destination',
      { inject: (context, carrier) => ownHeader.inject(context, carrier, { trace: true, values: true, refuse() {} }) },
      ['writes nothing for an empty context, and nothing that a destination may not receive'],
    ],
    [
      'overwrites a field',
      {
        inject(context, carrier, destination) {
          if (mayInject(destination, region)) carrier.set('x-region', context.get(region) ?? 'eu')
        },
      },
      ['overwrites no field that is set'],
    ],
    [
      'writes a text that is not a header',
      { inject: (_context, carrier) => carrier.set('x-region', 'ü') },
      ['does not throw for any header', 'extracts what it injects'],
    ],
    [
      'reads a field of another propagator',
      {
        extract(context, carrier, peer) {
          void carrier.get('authorization')
          return ownHeader.extract(context, carrier, peer)
        },
      },
      ['uses its own fields only, and writes none in extract'],
    ],
  ])('fails for a propagator that %s', async (_, change, expected) => {
    const failures = await failuresOf((runner) =>
      describePropagator(runner, 'region', () => ({ ...ownHeader, ...change }), samples),
    )

    for (const title of expected) expect(failures.some((failure) => failure.startsWith(title))).toBe(true)
  })

  it('throws without samples', () => {
    expect(() =>
      describePropagator({ describe, it, expect }, 'region', () => ownHeader, { contexts: [], texts: [] }),
    ).toThrow('expected samples with at least one context and one text')
  })
})

describe('describeMiddleware', () => {
  it('fails for a middleware that opens one unit for all requests', async () => {
    const failures = await failuresOf((runner) =>
      describeMiddleware(runner, 'one unit', async (handler) => {
        const inbound = new Inbound()
        let scope: ReturnType<Inbound['open']> | undefined
        const server = createServer((request, response) => {
          const opened = (scope ??= inbound.open('all', request))
          const fail = () => response.writeHead(500).end('{}')
          response.once('close', () => {
            if (!response.writableFinished) opened.abort(new Error('the client disconnected'))
            opened.close()
          })
          try {
            void opened
              .run(async () => response.end(JSON.stringify((await handler(request.url ?? '', opened)) ?? {})))
              .catch(fail)
          } catch {
            fail()
          }
        })
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
        const { port } = server.address() as { port: number }
        return {
          url: `http://127.0.0.1:${port}`,
          async close() {
            server.close()
            server.closeAllConnections()
          },
        }
      }),
    )

    expect(failures).toContain('starts each request without values, and separates requests that overlap')
    expect(failures).toContain(
      'continues a task after the reply with the values of its spawn, and waits for it at the close',
    )
  })

  it('states what serve must return', async () => {
    const messages: unknown[] = []
    const note = (error: unknown) => void messages.push((error as Error).message)
    const tests: (() => Promise<void>)[] = []
    const runner: TestRunner = { describe: (_, body) => body(), it: (_, body) => void tests.push(body), expect }
    describeMiddleware(runner, 'no server', (async () => ({ url: 'localhost' })) as never)
    await tests[0]?.().catch(note)

    expect(messages).toEqual([
      "describeMiddleware: the result of serve: expected a server with its address and close(), { url, close }, got { url: 'localhost' }.",
    ])
  })
})

describe('describeMessages', () => {
  it('fails for an engine that refuses to open', async () => {
    const failures = await failuresOf((runner) =>
      describeMessages(runner, 'closed', { open: () => Promise.reject(new Error('closed')) }),
    )

    expect(failures.length).toBe(20)
  })
})
