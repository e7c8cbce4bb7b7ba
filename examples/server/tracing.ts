import * as api from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { ExportResultCode } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace'
import { openTelemetry } from 'logical-context/bridges/opentelemetry'
import { tenant, user } from './variables.ts'

/** The number of a service's spans that were sent. */
export type Export = { spans: number; unsent: number; why?: string }

/** Sends the spans of a service to a collector. Returns a function that sends the last ones after all work. */
export function startTracing(service: string, url: string): () => Promise<Export> {
  const bridge = openTelemetry({ api, fields: { tenant, user }, requestSpans: true })
  const total: Export = { spans: 0, unsent: 0 }
  // The shop must close without its collector too, before the delay of `close-with-grace`.
  const exporter = counted(new OTLPTraceExporter({ url, timeoutMillis: 1500 }), total)
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': service, 'service.namespace': 'shop' }),
    spanProcessors: [bridge.spanProcessor, new BatchSpanProcessor({ exporter })],
  })
  api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  api.trace.setGlobalTracerProvider(provider)
  return async () => {
    await provider.shutdown().catch(() => {})
    return total
  }
}

function counted(exporter: SpanExporter, total: Export): SpanExporter {
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        total.spans += spans.length
        if (result.code !== ExportResultCode.SUCCESS) {
          total.unsent += spans.length
          total.why = result.error?.message || String(result.error)
        }
        done(result)
      })
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  }
}
