export const tenant = 'acme'

/** The declared context of all sides. */
export const declared = {
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  async variables() {
    const { ContextVar } = await import('logical-context')
    const { w3cBaggage, w3cTraceContext, xRequestId } = await import('logical-context/propagators')
    const variable = new ContextVar<string>('tenant')
    const propagators = [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { tenant: variable } })]
    return { variable, propagators }
  },
}

/** BullMQ's own telemetry for OpenTelemetry, with the formats of W3C and no SDK. */
export async function bullOtel() {
  const api = await import('@opentelemetry/api')
  const { AsyncLocalStorageContextManager } = await import('@opentelemetry/context-async-hooks')
  const { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } = await import('@opentelemetry/core')
  const { BullMQOtel } = await import('bullmq-otel')
  api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  api.propagation.setGlobalPropagator(
    new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
  )
  const [, traceId = '', spanId = ''] = declared.traceparent.split('-')
  const traced = api.trace.setSpanContext(api.ROOT_CONTEXT, { traceId, spanId, traceFlags: 1 })
  const request = api.propagation.setBaggage(traced, api.propagation.createBaggage({ tenant: { value: tenant } }))
  const telemetry = new BullMQOtel({ tracerName: 'bench' })
  return {
    telemetry,
    contextManager: telemetry.contextManager,
    inRequest: <R>(fn: () => R): R => api.context.with(request, fn),
    read: () => api.propagation.getActiveBaggage()?.getEntry('tenant')?.value,
  }
}
