import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import type { ReceivedSpan } from '../../scripts/otlp-receiver.ts'
import { describeRow, spanRows } from '../../scripts/span-rows.ts'
import { runTracedDemo, type TracedDemo } from '../../scripts/traced-demo.ts'
import { startProgram, printOpenTelemetry } from './program.ts'

describe('npm run demo -- --otlp URL', () => {
  let demo: TracedDemo

  beforeAll(async () => {
    demo = await runTracedDemo([printOpenTelemetry])
  }, 120_000)

  const nameOf = ({ service, name }: ReceivedSpan) => `${service}: ${name}`
  const byId = (spanId: string | undefined) => demo.spans.find((span) => span.spanId === spanId)

  /** The first attempt of an order's job that was sent: a worker that is killed sends nothing. */
  const attemptOf = (order: string) =>
    demo.spans.find(
      ({ service, attributes }) => service === 'worker' && attributes['logical_context.request_id'] === order,
    )

  /** The spans of an order by service and name, with their parents and links. */
  function spansOf(order: string) {
    const ofOrder = demo.spans.filter(({ attributes }) => attributes['logical_context.request_id'] === order)
    const spans = ofOrder.filter(({ service }) => service !== 'worker')
    const request = spans.find(({ service }) => service === 'gateway')
    const names = spans.map((span) => {
      const { kind, parentSpanId, links, status, attributes, traceId } = span
      const parent = byId(parentSpanId)
      // The spans were found by the request id. The other attributes are the same on all spans, or differ in each run.
      const left = Object.entries(attributes).filter(
        ([key]) => !/^(logical_context\.(request_id|task\.id)|network\.|user_agent\.|url\.)/.test(key),
      )
      const facts = {
        kind,
        ...(parentSpanId !== undefined && { parent: parent === undefined ? parentSpanId : nameOf(parent) }),
        ...(links.length > 0 && { links: links.map(({ spanId }) => nameOf(byId(spanId) ?? span)) }),
        ...(status.code !== 'unset' && { status }),
        trace: traceId === request?.traceId ? "the request's" : 'another',
        attributes: Object.fromEntries(left),
      }
      return [nameOf(span), facts] as const
    })
    expect(new Set(names.map(([name]) => name)).size).toBe(names.length)
    return Object.fromEntries(names)
  }

  const ofRequest = (method: string, route: string, rest: object) => ({
    kind: 'server',
    trace: "the request's",
    attributes: { 'http.request.method': method, 'http.route': route, ...rest },
  })
  const ofTask = (policy: string, rest: object) => ({
    'logical_context.task.group': 'background',
    'logical_context.task.policy': policy,
    'logical_context.task.outcome': 'done',
    ...rest,
  })
  /** The tasks of an order, and its job. A task with `share` is part of the request, so it has no span. */
  const workOf = (tenant: string, user: string) => {
    const orders = 'orders: POST /orders'
    const trace = "the request's"
    return {
      'orders: create send-receipt': {
        kind: 'producer',
        parent: orders,
        trace,
        attributes: {
          'logical_context.message.policy': 'inherit',
          'messaging.destination.name': 'send-receipt',
          'messaging.operation.name': 'create',
          'messaging.operation.type': 'create',
          'messaging.system': 'pg-boss',
          tenant,
          user,
        },
      },
      'orders: reindex': { kind: 'internal', parent: orders, trace, attributes: ofTask('only', { tenant }) },
      'orders: refresh-price-cache': {
        kind: 'internal',
        links: [orders],
        trace: 'another',
        attributes: ofTask('isolate', { tenant }),
      },
      'warehouse: GET /prices': {
        ...ofRequest('GET', '/prices', { tenant, 'http.response.status_code': 200 }),
        parent: 'orders: refresh-price-cache',
        trace: 'another',
      },
    }
  }

  it('ends as without the option, and prints how much it sent', () => {
    expect(demo.code).toBe(0)
    expect(demo.stdout).toMatch(/^log lines checked: \d+, wrong: 0$/m)
    expect(demo.stdout).toMatch(
      new RegExp(`^spans sent to http://\\S+/v1/traces: ${demo.spans.length} of ${demo.spans.length}$`, 'm'),
    )
    expect(demo.spans.filter(({ service }) => service !== 'worker')).toHaveLength(12 * 3 + 11 * 4)
  })

  it('loads OpenTelemetry, unlike the demo without the option', () => {
    expect(demo.stderr).toContain('loads @opentelemetry/api')
  })

  it('shows one order over three services, each task at the place of its policy', () => {
    const known = { tenant: 'acme', user: 'ada', 'http.response.status_code': 200 }

    expect(spansOf('order-01')).toEqual({
      'gateway: POST /orders': ofRequest('POST', '/orders', known),
      'orders: POST /orders': { ...ofRequest('POST', '/orders', known), parent: 'gateway: POST /orders' },
      'warehouse: POST /reservations': {
        ...ofRequest('POST', '/reservations', known),
        parent: 'orders: POST /orders',
      },
      ...workOf('acme', 'ada'),
    })
  })

  it('shows that the client of an order disconnected, and that its tasks continued', () => {
    const known = { tenant: 'globex', user: 'bob' }
    const gone = { ...known, 'logical_context.abort_reason': 'LCTX_CLIENT_GONE' }

    expect(spansOf('order-02')).toEqual({
      'gateway: POST /orders': ofRequest('POST', '/orders', gone),
      'orders: POST /orders': { ...ofRequest('POST', '/orders', gone), parent: 'gateway: POST /orders' },
      'warehouse: POST /reservations': {
        ...ofRequest('POST', '/reservations', { ...known, 'http.response.status_code': 200 }),
        parent: 'orders: POST /orders',
      },
      ...workOf('globex', 'bob'),
    })
  })

  it('shows the job of an order below the span that sent it, in another process: the attempt whose worker was not killed', () => {
    const sender = byId(attemptOf('order-02')?.parentSpanId)

    expect(attemptOf('order-02')).toMatchObject({
      name: 'process send-receipt',
      kind: 'consumer',
      traceId: sender?.traceId,
      attributes: { tenant: 'globex', user: 'bob', 'logical_context.message.attempt': 2 },
    })
    expect(sender && nameOf(sender)).toBe('orders: create send-receipt')
  })

  it('shows a failed order, and the error in the service that threw it', () => {
    const known = { tenant: 'acme', user: 'dan', 'http.response.status_code': 500, 'error.type': '500' }
    const status = { code: 'error' }

    expect(spansOf('order-04')).toEqual({
      'gateway: POST /orders': { ...ofRequest('POST', '/orders', known), status },
      'orders: POST /orders': { ...ofRequest('POST', '/orders', known), status, parent: 'gateway: POST /orders' },
      'warehouse: POST /reservations': {
        ...ofRequest('POST', '/reservations', known),
        status: { code: 'error', message: 'There is no nectar.' },
        parent: 'orders: POST /orders',
      },
    })
    expect(demo.spans.flatMap((span) => span.events.map((event) => [nameOf(span), event.name]))).toEqual([
      ['warehouse: POST /reservations', 'exception'],
    ])
  })

  it('puts the order of a client with its own trace below that client', () => {
    const { 'gateway: POST /orders': request } = spansOf('order-08')

    expect(request?.parent).toBe('00f067aa0ba902b7')
    expect(
      demo.spans.filter(
        ({ traceId, service }) => traceId === '4bf92f3577b34da6a3ce929d0e0e4736' && service !== 'worker',
      ),
    ).toHaveLength(5)
  })

  it('sends what the picture in the guide shows', async () => {
    const picture = await readFile(new URL('../../docs/guides/tracing.svg', import.meta.url), 'utf8')
    const shown = Array.from(picture.matchAll(/data-span="([^"]+)"/g), ([, row]) => row)

    // If this fails, run 'npm run trace-picture', then check the picture and the guide.
    expect(shown).toEqual(Array.from(new Set(spanRows(demo.spans, 'order-02').map(describeRow))))
  })

  it('has a trace for each order, and one for each isolated task', () => {
    expect(new Set(demo.spans.map(({ traceId }) => traceId)).size).toBe(12 + 11)
  })
})

describe('npm run demo -- --otlp with a URL that', () => {
  it.each<[name: string, args: string[], message: string]>([
    ['is missing', ['--otlp'], "Option '--otlp <value>' argument missing"],
    [
      'has no scheme',
      ['--otlp', 'localhost:4318'],
      "expected the URL of a collector, such as http://localhost:4318, got 'localhost:4318'",
    ],
    [
      'is not a URL',
      ['--otlp', 'jaeger'],
      "--otlp: expected the URL of a collector, such as http://localhost:4318, got 'jaeger'",
    ],
    ['belongs to another option', ['--oltp', 'http://localhost:4318'], "Unknown option '--oltp'"],
  ])('%s prints one line and starts nothing', async (_name, args, message) => {
    const demo = startProgram('examples/server/demo.ts', { args })

    expect(await demo.ended).toBe(1)
    expect(demo.stderr).toContain(message)
    expect(demo.stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(demo.stdout).toBe('')
  })

  it('is not reachable runs the demo and prints that nothing was sent', { timeout: 120_000 }, async () => {
    // A port without a listener.
    const demo = startProgram('examples/server/demo.ts', { args: ['--otlp', 'http://127.0.0.1:1'] })

    expect(await demo.ended).toBe(0)
    expect(demo.stdout).toMatch(/^log lines checked: \d+, wrong: 0$/m)
    expect(demo.stdout).toMatch(/^spans sent to http:\/\/127\.0\.0\.1:1\/v1\/traces: 0 of \d+, connect ECONNREFUSED/m)
    expect(demo.stderr).toBe('')
  })
})
