import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { runInScope } from 'logical-context'
import { contextFetch } from 'logical-context/clients/fetch'
import { inject } from 'logical-context/clients/inject'
import { b3, w3cTraceContext } from 'logical-context/propagators'
import { newIdentity, traceContext } from 'logical-context/variables'
import { describe, expect, it, onTestFinished } from 'vitest'

const propagators = [w3cTraceContext(), b3()]

/** Injects twice in one unit, and returns the span ids of the headers and the span of the unit. */
function injectTwice(options: { spanPerCall?: boolean }) {
  const injectWith = inject.with({ propagators, ...options })
  return runInScope(
    () => {
      const calls = [{}, {}] as Record<string, string>[]
      for (const headers of calls) injectWith(headers)
      return { calls, unit: traceContext.get() }
    },
    { context: newIdentity() },
  )
}

describe('the option spanPerCall', () => {
  it('is off by default: all calls of a unit send the id of its span', () => {
    const { calls, unit } = injectTwice({})

    expect(calls.map(({ traceparent }) => traceparent?.split('-')[2])).toEqual([unit?.spanId, unit?.spanId])
  })

  it('sends an id of its own for each call, the same in all formats', () => {
    const { calls, unit } = injectTwice({ spanPerCall: true })

    const ids = calls.map(({ traceparent = '', b3: single = '' }) => [traceparent.split('-')[2], single.split('-')[1]])
    const [[first], [second]] = ids as [string[], string[]]
    expect(ids).toEqual([
      [first, first],
      [second, second],
    ])
    expect(new Set([first, second, unit?.spanId]).size).toBe(3)
    expect(calls.map(({ b3: single }) => single?.split('-')[3])).toEqual([unit?.spanId, unit?.spanId])
    expect(calls.map(({ traceparent }) => traceparent?.split('-')[1])).toEqual([unit?.traceId, unit?.traceId])
  })

  it('does not change the unit, and writes no trace where the unit has none', () => {
    const headers: Record<string, string> = {}

    runInScope(() => inject.with({ propagators, spanPerCall: true })(headers))

    expect(headers).toEqual({})
  })

  it('sends an id of its own for each hop of a redirect', async () => {
    const received: string[] = []
    const server = createServer(({ headers, url }, response) => {
      received.push(String(headers['traceparent']))
      if (url === '/') response.writeHead(302, { location: '/next' }).end()
      else response.end()
    })
    onTestFinished(() => void server.close())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const fetchWith = contextFetch.with({ spanPerCall: true, trace: ['127.0.0.1'] })

    await runInScope(async () => (await fetchWith(url)).text(), { context: newIdentity() })

    expect(received).toHaveLength(2)
    expect(new Set(received.map((text) => text.split('-')[1])).size).toBe(1)
    expect(new Set(received.map((text) => text.split('-')[2])).size).toBe(2)
  })

  it('accepts a boolean only', () => {
    expect(() => inject.with({ spanPerCall: 'yes' as never })).toThrow(
      /^inject: option 'spanPerCall' expected a boolean/,
    )
  })
})
