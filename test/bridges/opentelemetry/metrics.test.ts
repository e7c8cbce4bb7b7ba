import { channel } from 'node:diagnostics_channel'
import * as api from '@opentelemetry/api'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import Fastify from 'fastify'
import { gather, runInScope, TaskGroup, withTaskGroup } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { describe, expect, it, onTestFinished } from 'vitest'
import { collectGarbage } from '../../flow/memory.ts'
import { setUpSdk } from './sdk.ts'

interface Meters {
  /** The latest values by instrument; for a histogram, its count. */
  read: () => Promise<Record<string, unknown>>
  /** The groups with a latest value of an instrument. */
  groups: (instrument: string) => Promise<unknown[]>
}

function registerMeters(temporality = AggregationTemporality.CUMULATIVE): Meters {
  const exporter = new InMemoryMetricExporter(temporality)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1_000_000 })
  const views = [{ instrumentName: 'logical_context.task.*', aggregationCardinalityLimit: 10_000 }]
  const provider = new MeterProvider({ readers: [reader], views })
  api.metrics.disable()
  api.metrics.setGlobalMeterProvider(provider)
  onTestFinished(() => provider.shutdown())
  const collect = async () => {
    exporter.reset()
    await provider.forceFlush()
    return exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
  }
  return {
    async groups(instrument) {
      const metric = (await collect()).find(({ descriptor }) => descriptor.name === `logical_context.${instrument}`)
      return (metric?.dataPoints ?? []).map(({ attributes }) => attributes['logical_context.task.group'])
    },
    async read() {
      const metrics = await collect()
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

  it('does not count a task that was withdrawn from the queue', async () => {
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

  // With cumulative temporality the SDK itself repeats a value that is no longer observed.
  it('reports an ended group once more, and then drops it', async () => {
    setUpSdk()
    const meters = registerMeters(AggregationTemporality.DELTA)
    const open = new TaskGroup({ name: 'open' })
    const closed = new TaskGroup({ name: 'closed' })

    await runInScope(async () => {
      await withTaskGroup((group) => void group.spawn(() => {}), { name: 'structured' })
      await gather([() => {}], { name: 'gathered' })
      await closed.spawn(() => {}).result()
      await open.spawn(() => {}).result()
    })
    await closed.drain()
    closed.close()

    for (const instrument of ['task.running', 'task.queued']) {
      expect(await meters.groups(instrument)).toEqual(
        instrument === 'task.running' ? ['structured', 'gathered', 'closed', 'open'] : ['open'],
      )
    }
  })

  it('keeps a closed group that has a task, and one whose name another group uses', async () => {
    setUpSdk()
    const meters = registerMeters(AggregationTemporality.DELTA)
    const end = gate()
    const group = new TaskGroup({ name: 'closed' })
    const [first, second] = [new TaskGroup({ name: 'shared' }), new TaskGroup({ name: 'shared' })]

    await runInScope(async () => {
      const task = group.spawn(() => end.promise)
      await first.spawn(() => {}).result()
      await second.spawn(() => {}).result()
      for (const each of [group, first]) each.close()
      await meters.read()

      expect(await meters.groups('task.running')).toEqual(['closed', 'shared'])
      end.resolve()
      await task.result()
    })
  })

  it('drops a group that no code holds any more', async () => {
    setUpSdk()
    const meters = registerMeters(AggregationTemporality.DELTA)
    await runInScope(() => new TaskGroup({ name: 'garbage' }).spawn(() => {}).result())

    expect(await meters.groups('task.running')).toEqual(['garbage'])
    await expect
      .poll(async () => {
        collectGarbage()
        return meters.groups('task.running')
      })
      .toEqual([])
  })

  it('keeps a bounded number of names if no reader collects', async () => {
    setUpSdk()
    api.metrics.disable()
    api.metrics.setGlobalMeterProvider(new MeterProvider())
    await runInScope(async () => {
      for (let i = 0; i < 5000; i++) await withTaskGroup((group) => void group.spawn(() => {}), { name: `job-${i}` })
    })
    const meters = registerMeters(AggregationTemporality.DELTA)
    runInScope(() => {})

    expect((await meters.groups('task.running')).length).toBeLessThan(2100)
  })

  it('counts refused headers of peers', async () => {
    const meters = registerMeters()
    setUpSdk()
    const app = Fastify()
    await app.register(logicalContext)
    onTestFinished(() => app.close())
    app.get('/', () => 'ok')

    await app.inject({ url: '/', headers: { baggage: 'tenant=acme' } })

    expect(await meters.read()).toMatchObject({ 'inbound.refusals': 1 })
  })

  it('continues with another provider, with the running tasks', async () => {
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

  it('stops when the provider is removed, and starts again with the next', async () => {
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
