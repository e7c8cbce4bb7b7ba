import type { OutgoingHttpHeaders } from 'node:http'
import * as api from '@opentelemetry/api'
import { suppressTracing } from '@opentelemetry/core'
import { AlwaysOffSampler, AlwaysOnSampler, ParentBasedSampler } from '@opentelemetry/sdk-trace'
import { LogicalContext, type Policy, runInScope, spawn } from 'logical-context'
import { inject } from 'logical-context/clients/inject'
import { b3, w3cTraceContext } from 'logical-context/propagators'
import { TraceContext, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import { inSpan, type SdkOptions, setUpSdk } from './sdk.ts'
import { caller, shop, traceparent } from './shop.ts'

const propagators = [w3cTraceContext(), b3()]
const policies: [name: string, policy: Policy][] = [
  ['inherit', 'inherit'],
  ['only', { only: [traceContext] }],
  ['isolate', 'isolate'],
  ['share', 'share'],
]
const off: SdkOptions = { sampler: new ParentBasedSampler({ root: new AlwaysOffSampler() }) }
const decisions: [name: string, options: SdkOptions, headers: OutgoingHttpHeaders][] = [
  ['flags 00', {}, traceparent('00')],
  ['b3: 0', {}, { b3: '0' }],
  ['an unsampled trace in b3', {}, { b3: `${caller.traceId}-${caller.spanId}-0` }],
  ['x-b3-sampled: 0', {}, { 'x-b3-sampled': '0' }],
  ["the SDK's own sampler", off, {}],
]

/** What goes out from here. */
function outbound(): Record<string, string> {
  const headers: Record<string, string> = {}
  inject.with({ propagators })(headers)
  return headers
}

describe('openTelemetry, a trace that is not recorded', () => {
  describe.each(decisions)('by %s', (_name, options, headers) => {
    it.each(policies)('stays so in a task, and for whom the task calls, by the policy %s', async (_name, policy) => {
      const { spans, tracer } = setUpSdk({ requestSpans: true, ...options })
      const told: Record<string, string>[] = []
      const tell = () => void told.push(outbound())
      const body = async () => {
        tell()
        await inSpan(tracer, 'inside', tell)
        await spawn(tell, { name: 'below' }).result()
      }
      const { get } = await shop(
        (app) => {
          app.get('/', async () => {
            tell()
            await spawn(body, { name: 'task', policy }).result()
            return 'ok'
          })
        },
        { propagators },
      )

      await get('/', headers)

      expect(spans()).toEqual([])
      expect(told).toHaveLength(4)
      for (const { traceparent, b3 } of told) {
        expect(traceparent).toMatch(/-0[02]$/)
        expect(b3).toMatch(/-0(-[0-9a-f]{16})?$/)
      }
      const traces = new Set(told.slice(1).map(({ traceparent }) => traceparent?.split('-')[1]))
      expect(traces.size).toBe(1)
      expect(traces.has(told[0]?.['traceparent']?.split('-')[1])).toBe(policy !== 'isolate')
    })
  })

  it('has no trace of its own, where a job has none but an unsampled span around it', async () => {
    const { spans, tracer } = setUpSdk(off)

    const [request, isolated] = await runInScope(() =>
      inSpan(tracer, 'unsampled', (span) =>
        spawn(() => [span.spanContext(), traceContext.get()] as const, { policy: 'isolate' }).result(),
      ),
    )

    expect(isolated).toMatchObject({ sampling: 'deny', link: { traceId: request.traceId, spanId: request.spanId } })
    expect(isolated?.traceId).not.toBe(request.traceId)
    expect(spans()).toEqual([])
  })
})

describe('openTelemetry, a trace that was refused before it has a span', () => {
  // A sampler that follows the parent would drop the span of a bridge that starts one.
  const sampler = new AlwaysOnSampler()

  it('has no span of a request, whatever the sampler', async () => {
    const { spans } = setUpSdk({ requestSpans: true, sampler })
    const { get } = await shop((app) => app.get('/', () => 'ok'), { propagators })

    await get('/', { b3: '0' })

    expect(spans()).toEqual([])
  })

  it('has no span of a job, nor of its isolated task', async () => {
    const { spans } = setUpSdk({ requestSpans: true, sampler })
    const context = LogicalContext.empty.with(traceContext, new TraceContext({ sampling: 'deny' }))

    await runInScope(() => spawn(() => {}, { name: 'task', policy: 'isolate' }).result(), { name: 'job', context })

    expect(spans()).toEqual([])
  })
})

describe('openTelemetry, where tracing is suppressed', () => {
  it.each(policies)('has no spans in a task, and in what it starts, by the policy %s', async (_name, policy) => {
    const { spans, tracer } = setUpSdk({ requestSpans: true })

    await api.context.with(suppressTracing(api.ROOT_CONTEXT), () =>
      runInScope(() =>
        spawn(
          async () => {
            await inSpan(tracer, 'inside', () => {})
            await spawn(() => {}, { name: 'below' }).result()
          },
          { name: 'task', policy },
        ).result(),
      ),
    )

    expect(spans()).toEqual([])
  })
})

describe('openTelemetry, a trace that is recorded', () => {
  it('samples its isolated tasks again', async () => {
    const { span } = setUpSdk()

    await api.context.with(api.ROOT_CONTEXT, () =>
      runInScope(() =>
        inSpan(api.trace.getTracer('shop'), 'request', () =>
          spawn(() => {}, { name: 'isolate', policy: 'isolate' }).result(),
        ),
      ),
    )

    expect(span('isolate').links.map(({ context }) => context.spanId)).toEqual([span('request').spanContext().spanId])
  })
})
