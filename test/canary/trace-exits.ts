import * as api from '@opentelemetry/api'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import Fastify from 'fastify'
import { current, spawn } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { composite, toTextMapPropagator } from 'logical-context/propagators'
import { baggage } from 'logical-context/variables'
import { setUpSdk } from '../bridges/opentelemetry/sdk.ts'
import { type Canary, declared, type Exit, knowingAll, propagators, setAll } from './canaries.ts'

/** Work that makes spans of all kinds: a request's, tasks' under all policies, and one that fails. */
async function serveTraced(): Promise<void> {
  const app = Fastify()
  await app.register(logicalContext, { onError: () => {} })
  app.get('/', async () => {
    setAll()
    for (const policy of ['inherit', 'isolate', 'share', { only: [] }] as const) {
      await spawn(() => {}, { policy, name: 'works' }).result()
    }
    await spawn(() => Promise.reject(new Error('failed')), { name: 'fails' })
      .result()
      .catch(() => {})
    return 'ok'
  })
  await (await fetch(await app.listen({ host: '127.0.0.1', port: 0 }))).text()
  await app.close()
}

const spans = (fields: object) => async () => {
  const sdk = setUpSdk({ requestSpans: true, baggage: true, fields: fields as never })
  await serveTraced()
  return sdk.spans().map(({ name, attributes, events, links, status, resource }) => {
    return { name, attributes, events, links, status, resource: resource.attributes }
  })
}

export const traceExits: Exit[] = [
  { name: 'spans with a declared field', may: ['declared'], run: spans({ declared }) },
  { name: 'spans without a field', may: [], run: spans({}) },
  {
    name: 'metrics',
    may: [],
    async run() {
      const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
      const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 60_000 })
      const provider = new MeterProvider({ readers: [reader] })
      api.metrics.disable()
      api.metrics.setGlobalMeterProvider(provider)
      setUpSdk({ requestSpans: true, fields: { declared } })
      await serveTraced()
      await provider.forceFlush()
      const metrics = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics)
      await provider.shutdown()
      if (metrics.length === 0) throw new Error('Nothing was measured: this exit looks at nothing.')
      return metrics
    },
  },
  {
    name: "OpenTelemetry's baggage and what its propagator writes",
    may: [],
    run() {
      setUpSdk({ baggage: true })
      return knowingAll(() => {
        const carrier = {}
        api.propagation.inject(api.context.active(), carrier)
        return [carrier, api.propagation.getActiveBaggage()?.getAllEntries(), baggage.get()]
      })
    },
  },
  {
    name: 'our propagators as one of OpenTelemetry, to a destination without values',
    may: [],
    run: byOurPropagator([]),
  },
  {
    name: 'our propagators as one of OpenTelemetry, to a destination with values',
    may: ['declared'],
    run: byOurPropagator(['declared']),
  },
]

function byOurPropagator(may: readonly Canary[]): () => unknown {
  return () => {
    setUpSdk()
    const propagator = toTextMapPropagator(composite(propagators), { destination: { values: may.length > 0 } })
    return knowingAll(() => {
      const carrier = { context: String(current()) }
      propagator.inject(api.context.active(), carrier, api.defaultTextMapSetter)
      return carrier
    })
  }
}
