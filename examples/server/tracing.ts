import * as api from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { ExportResultCode } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { openTelemetry } from 'logical-context/bridges/opentelemetry'
import { tenant, user } from './variables.ts'

/** Sends the spans of a service to a collector. Returns a function that sends the last ones, and reports them. */
export function startTracing(service: string, url: string) {
  const bridge = openTelemetry({ api, fields: { tenant, user }, requestSpans: true })
  const total: { spans: number; unsent: number; why?: string } = { spans: 0, unsent: 0 }
  // The shop must close without its collector too, before the delay of `close-with-grace`.
  const exporter = new OTLPTraceExporter({ url, timeoutMillis: 1500 })
  const counted: typeof exporter.export = (spans, done) =>
    OTLPTraceExporter.prototype.export.call(exporter, spans, (result) => {
      total.spans += spans.length
      if (result.code === ExportResultCode.FAILED) total.unsent += spans.length
      if (result.error) total.why = result.error.message || String(result.error)
      done(result)
    })
  const batches = new BatchSpanProcessor({ exporter: Object.assign(exporter, { export: counted }) })
  const resource = resourceFromAttributes({ 'service.name': service, 'service.namespace': 'shop' })
  const provider = new TracerProvider({ resource, spanProcessors: [bridge.spanProcessor, batches] })
  api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  api.trace.setGlobalTracerProvider(provider)
  return async () => {
    await provider.shutdown().catch(() => {})
    return total
  }
}
