import { channel } from 'node:diagnostics_channel'
import * as api from '@opentelemetry/api'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import Fastify from 'fastify'
import { runInScope, TaskGroup } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { describe, expect, it, onTestFinished } from 'vitest'
import { setUpSdk } from './sdk.ts'

interface Meters {
  /** The latest values by instrument; of a histogram its count. */
  read: () => Promise<Record<string, unknown>>
}

function registerMeters(): Meters {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1_000_000 })
  const provider = new MeterProvider({ readers: [reader] })
  api.metrics.disable()
  api.metrics.setGlobalMeterProvider(provider)
  onTestFinished(() => provider.shutdown())
  return {
    async read() {
      exporter.reset()
      await provider.forceFlush()
      const metrics = exporter
        .getMetrics()
        .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
      return Object.fromEntries(
        metrics.map(({ descriptor, dataPoints }) => [
          descriptor.name.replace('logical_context.', ''),
          dataPoints.map(({ value }) => (typeof value === 'number' ? value : value.count)).reduce((a, b) => a + b, 0),
        ]),
      )
    },
  }
}

const gate = () => Promise.withResolvers<void>()

describe('openTelemetry, metrics', () => {
  it('counts what tasks do', async () => {
    setUpSdk()
    const meters = registerMeters()
    const group = new TaskGroup({ maxConcurrent: 1, maxQueued: 2, onError: () => {} })
    const first = gate()
    const stuck = gate()

    await runInScope(async () => {
      const tasks = [
        group.spawn(() => first.promise),
        group.spawn(() => Promise.reject(new Error('no'))),
        group.spawn(() => stuck.promise),
      ]
      expect(() => group.spawn(() => {})).toThrow('refused')
      expect(await meters.read()).toMatchObject({ 'task.running': 1, 'task.queued': 2, 'task.refused': 1 })
      first.resolve()
      await Promise.allSettled(tasks.slice(0, 2).map((task) => task.result()))
      await group.drain({ timeoutMs: 0, graceMs: 0 })
    })

    expect(await meters.read()).toMatchObject({
      'task.running': 1,
      'task.queued': 0,
      'task.failed': 1,
      'task.abandoned': 1,
      'task.wait.duration': 3,
    })
    stuck.resolve()
  })

  it('forgets a task that was withdrawn from the queue', async () => {
    setUpSdk()
    const meters = registerMeters()
    const group = new TaskGroup({ maxConcurrent: 1, onError: () => {} })
    const first = gate()

    await runInScope(async () => {
      const running = group.spawn(() => first.promise)
      group.spawn(() => {}).abort()

      expect(await meters.read()).toMatchObject({ 'task.running': 1, 'task.queued': 0 })
      first.resolve()
      await running.result()
    })

    expect(await meters.read()).toMatchObject({ 'task.running': 0, 'task.queued': 0 })
  })

  it('counts what is not taken from peers', async () => {
    const meters = registerMeters()
    setUpSdk()
    const app = Fastify()
    await app.register(logicalContext)
    onTestFinished(() => app.close())
    app.get('/', () => 'ok')

    await app.inject({ url: '/', headers: { baggage: 'tenant=acme' } })

    expect(await meters.read()).toMatchObject({ 'inbound.refusals': 1 })
  })

  it('goes over to another provider, with what is running', async () => {
    setUpSdk()
    const group = new TaskGroup()
    const end = gate()
    const before = registerMeters()

    await runInScope(async () => {
      const long = group.spawn(() => end.promise)
      expect(await before.read()).toMatchObject({ 'task.running': 1 })
      const after = registerMeters()
      await group.spawn(() => {}).result()

      expect(await after.read()).toMatchObject({ 'task.running': 1, 'task.wait.duration': 1 })
      expect(await before.read()).toMatchObject({ 'task.wait.duration': 1 })
      end.resolve()
      await long.result()
    })
  })

  it('stops when the provider is taken away, and begins again with the next', async () => {
    setUpSdk()
    const listening = () => channel('logical-context:task:spawn').hasSubscribers
    registerMeters()
    runInScope(() => {})
    expect(listening()).toBe(true)

    api.metrics.disable()
    runInScope(() => {})
    expect(listening()).toBe(false)
    const meters = registerMeters()
    await runInScope(() => new TaskGroup().spawn(() => {}).result())

    expect(await meters.read()).toMatchObject({ 'task.running': 0, 'task.wait.duration': 1 })
  })

  it('does nothing without a provider', async () => {
    const { bridge } = setUpSdk()
    const listening = () => channel('logical-context:task:spawn').hasSubscribers

    await runInScope(() => new TaskGroup().spawn(() => {}).result())
    expect(listening()).toBe(false)
    registerMeters()
    runInScope(() => {})
    expect(listening()).toBe(true)
    bridge.stop()
    expect(listening()).toBe(false)
  })
})
