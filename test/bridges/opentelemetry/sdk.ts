import * as api from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from '@opentelemetry/core'
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
  type TracerProviderOptions,
} from '@opentelemetry/sdk-trace'
import {
  openTelemetry,
  type OpenTelemetryBridge,
  type OpenTelemetryOptions,
} from 'logical-context/bridges/opentelemetry'
import { onTestFinished } from 'vitest'

export interface Sdk {
  bridge: OpenTelemetryBridge
  exporter: InMemorySpanExporter
  tracer: api.Tracer
  /** The ended spans, in the order of their ends. */
  spans: () => ReadableSpan[]
  /** The one span of that name. */
  span: (name: string) => ReadableSpan
}

export interface SdkOptions extends Omit<OpenTelemetryOptions, 'api'>, Omit<TracerProviderOptions, 'spanProcessors'> {}

/** The real SDK and the bridge, as a program sets them up; unregistered with the test. */
export function setUpSdk({ sampler, ...options }: SdkOptions = {}): Sdk {
  const exporter = new InMemorySpanExporter()
  const bridge = openTelemetry({ api, ...options })
  const provider = new TracerProvider({
    ...(sampler && { sampler }),
    spanProcessors: [bridge.spanProcessor, new SimpleSpanProcessor({ exporter })],
  })
  api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  api.propagation.setGlobalPropagator(
    new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
  )
  api.trace.setGlobalTracerProvider(provider)
  onTestFinished(() => {
    bridge.stop()
    unregister()
  })
  const spans = () => exporter.getFinishedSpans()
  return {
    bridge,
    exporter,
    tracer: api.trace.getTracer('shop'),
    spans,
    span: (name) => {
      const found = spans().filter((span) => span.name === name)
      if (found.length === 1) return found[0] as ReadableSpan
      throw new Error(
        `Expected one span '${name}', got ${found.length} of: ${spans()
          .map((span) => span.name)
          .join(', ')}.`,
      )
    },
  }
}

export function unregister(): void {
  api.trace.disable()
  api.context.disable()
  api.propagation.disable()
  api.metrics.disable()
  api.diag.disable()
}

/** Runs `fn` in an active span of that name, which ends with what `fn` returns. */
export async function inSpan<R>(
  tracer: api.Tracer,
  name: string,
  fn: (span: api.Span) => R | PromiseLike<R>,
): Promise<R> {
  return tracer.startActiveSpan(name, async (span) => {
    try {
      return await fn(span)
    } finally {
      span.end()
    }
  })
}

/** The parent and the links of each span, by the names of those spans. */
export function tree(spans: readonly ReadableSpan[]): Record<string, { parent?: string; links?: string[] }> {
  const nameOf = (context: api.SpanContext | undefined): string =>
    spans.find((span) => span.spanContext().spanId === context?.spanId)?.name ?? `remote ${context?.spanId}`
  return Object.fromEntries(
    spans.map((span) => [
      span.name,
      {
        ...(span.parentSpanContext && { parent: nameOf(span.parentSpanContext) }),
        ...(span.links.length > 0 && { links: span.links.map((link) => nameOf(link.context)) }),
      },
    ]),
  )
}
