import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../../../scripts/otlp-receiver.ts'
import { installFixture } from '../../fixtures/install.ts'
import { runProgram, runScript } from '../../flow/run-script.ts'

/** What the scenario says of itself. */
interface Said {
  diagnosis: string[]
  sdk: string
  hasAttach: boolean
  theirs: string
  traceparents: number
}

describe('openTelemetry, with the 2.x line of the SDK', () => {
  let folder: string

  beforeAll(() => {
    folder = installFixture('older-packages')
  }, 180_000)

  async function run(mode: 'instrumented' | 'own'): Promise<{ said: Said; receiver: OtlpReceiver }> {
    const receiver = await startOtlpReceiver()
    onTestFinished(() => receiver.close())
    const { code, stdout, stderr } = await runProgram([join(folder, 'opentelemetry.ts'), receiver.url, mode])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    return { said: JSON.parse(stdout) as Said, receiver }
  }

  it('has spans by policy below those of its instrumentations', { timeout: 60_000 }, async () => {
    const { said, receiver } = await run('instrumented')

    expect(said).toEqual({
      diagnosis: [],
      sdk: expect.stringContaining(pathToFileURL(folder).href),
      hasAttach: false,
      theirs: '7',
      traceparents: 2,
    })
    expect(summary(receiver.spans)).toEqual({
      'client POST': {},
      'server POST /orders': { parent: 'client POST', attributes: { tenant: 'acme' } },
      'internal inherit': { parent: 'server POST /orders', ...done('inherit') },
      'client POST of inherit': { parent: 'internal inherit', attributes: { tenant: 'acme' } },
      'server POST /reserve of inherit': { parent: 'client POST of inherit' },
      'internal only': { parent: 'server POST /orders', ...done('only') },
      'internal isolate': { links: ['server POST /orders'], ...done('isolate') },
      'client POST of isolate': { parent: 'internal isolate', attributes: { tenant: 'acme' } },
      'server POST /reserve of isolate': { parent: 'client POST of isolate' },
      'internal failing': { parent: 'server POST /orders', ...failed },
    })
    expect(measured(receiver)).toEqual(counts)
  })

  it('has spans by policy below those of the bridge', { timeout: 60_000 }, async () => {
    const { said, receiver } = await run('own')

    expect(said).toMatchObject({ diagnosis: [], theirs: '7', traceparents: 2 })
    expect(summary(receiver.spans)).toEqual({
      'server POST /orders': { attributes: { tenant: 'acme' } },
      'internal inherit': { parent: 'server POST /orders', ...done('inherit') },
      'server POST /reserve of inherit': { parent: 'internal inherit' },
      'internal only': { parent: 'server POST /orders', ...done('only') },
      'internal isolate': { links: ['server POST /orders'], ...done('isolate') },
      'server POST /reserve of isolate': { parent: 'internal isolate' },
      'internal failing': { parent: 'server POST /orders', ...failed },
    })
    expect(measured(receiver)).toEqual(counts)
  })
})

describe('openTelemetry, given an api that is not the one of the SDK', () => {
  it('reports that in one line', { timeout: 180_000 }, async () => {
    const old = join(installFixture('older-packages'), 'opentelemetry.ts')

    const { stdout, stderr } = await runScript(`
      import { createRequire } from 'node:module'
      import * as api from '@opentelemetry/api'
      import { runInScope } from 'logical-context'
      import { openTelemetry } from 'logical-context/bridges/opentelemetry'
      const require = createRequire(${JSON.stringify(old)})
      const say = (line) => console.log(line)
      require('@opentelemetry/api').diag.setLogger({ error: say, warn: say, info() {}, debug() {}, verbose() {} })
      openTelemetry({ api })
      new (require('@opentelemetry/sdk-trace-node').NodeTracerProvider)().register()
      for (let i = 0; i < 3; i++) runInScope(() => {})
    `)

    expect(stderr).toBe('')
    expect(stdout).toMatch(/^logical-context: the api that was given is another copy [^\n]*\n$/)
  })

  it('works with an older one, which finds what is registered with a newer one', { timeout: 180_000 }, async () => {
    const old = join(installFixture('older-packages'), 'opentelemetry.ts')

    const { stdout, stderr } = await runScript(`
      import { createRequire } from 'node:module'
      import * as api from '@opentelemetry/api'
      import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
      import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
      import { runInScope, spawn } from 'logical-context'
      import { openTelemetry } from 'logical-context/bridges/opentelemetry'
      const say = (line) => console.log(line)
      api.diag.setLogger({ error: say, warn: say, info() {}, debug() {}, verbose() {} })
      const exporter = new InMemorySpanExporter()
      openTelemetry({ api: createRequire(${JSON.stringify(old)})('@opentelemetry/api'), requestSpans: true })
      api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
      api.trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }))
      await runInScope(() => spawn(() => {}, { name: 'task' }).result(), { name: 'job' })
      const [task, job] = exporter.getFinishedSpans()
      console.log(task.name, task.parentSpanContext.spanId === job.spanContext().spanId)
    `)

    expect({ stdout, stderr }).toEqual({ stdout: 'task true\n', stderr: '' })
  })
})

const ofTask = (policy: string, outcome: string) => ({
  'logical_context.task.policy': policy,
  'logical_context.task.outcome': outcome,
  'logical_context.task.group': 'background',
  tenant: 'acme',
})
const done = (policy: string) => ({ attributes: ofTask(policy, 'done') })
const failed = {
  status: { code: 'error', message: 'no truck' },
  attributes: { ...ofTask('inherit', 'failed'), 'error.type': 'RangeError' },
  events: ['exception'],
}
const counts = { running: 0, queued: 0, failed: 1, 'wait.duration': 5 }

/** The spans by kind and name; two with one name are listed with their task. */
function summary(spans: readonly ReceivedSpan[]): Record<string, object> {
  const parentOf = ({ parentSpanId }: ReceivedSpan) => spans.find(({ spanId }) => spanId === parentSpanId)
  const taskOf = (span: ReceivedSpan | undefined): string =>
    span === undefined || span.kind === 'internal' ? (span?.name ?? '') : taskOf(parentOf(span))
  const nameOf = (span: ReceivedSpan) => {
    const task = span.kind === 'internal' ? '' : taskOf(span)
    return `${span.kind} ${span.name}${task && ` of ${task}`}`
  }
  const named = spans.map((span) => {
    const parent = parentOf(span)
    const attributes = Object.entries(span.attributes).filter(([key]) =>
      /^(logical_context\.task\.(?!id)|error\.type|tenant)/.test(key),
    )
    const shown = {
      ...(parent && { parent: nameOf(parent) }),
      ...(span.links.length > 0 && {
        links: span.links.map((link) => nameOf(spans.find(({ spanId }) => spanId === link.spanId) ?? span)),
      }),
      ...(span.status.code !== 'unset' && { status: span.status }),
      ...(attributes.length > 0 && { attributes: Object.fromEntries(attributes) }),
      ...(span.events.length > 0 && { events: span.events.map(({ name }) => name) }),
    }
    return [nameOf(span), shown] as const
  })
  expect(new Set(named.map(([name]) => name)).size).toBe(spans.length)
  return Object.fromEntries(named)
}

/** What the instruments for tasks say at the end. */
function measured({ metrics }: OtlpReceiver): Record<string, number> {
  const prefix = 'logical_context.task.'
  return Object.fromEntries(
    Array.from(metrics)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, points]) => [name.slice(prefix.length), points.reduce((sum, { value }) => sum + value, 0)]),
  )
}
