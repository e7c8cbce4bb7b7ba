// Ways to add a context to each request of a Fastify server.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { FastifyInstance, FastifyPluginCallback } from 'fastify'
import type { LogicalContextOptions } from 'logical-context/middleware/fastify'
import { nestCls, otelContext } from './peers.ts'

/** Adds a context to the requests of a server. Returns a function that reads from it, or undefined without a context. */
export type ContextWay = (app: FastifyInstance) => Promise<() => unknown>

/** No context: the cost of the server itself. */
export const none: ContextWay = async () => () => true

export const oneLineOfAls: ContextWay = async (app) => {
  const storage = new AsyncLocalStorage<{ id: string }>()
  app.addHook('onRequest', (request, _reply, done) => storage.run({ id: request.id }, done))
  return () => storage.getStore()?.id
}

export function logicalContext(options: LogicalContextOptions = {}): ContextWay {
  return async (app) => {
    const { default: plugin } = await import('logical-context/middleware/fastify')
    const { requestId } = await import('logical-context/variables')
    await app.register(plugin, options)
    return () => requestId.get()
  }
}

/** No context: the cost of the package in a process that does not use it. */
export const importOnly: ContextWay = async () => {
  await import('logical-context')
  return () => true
}

/** Only a scope and a request id. */
export const logicalContextAlone: ContextWay = async (app) => {
  const { xRequestId } = await import('logical-context/propagators')
  return logicalContext({ propagators: [xRequestId()], replyIdHeader: false })(app)
}

/** The unit of a request and its id without the plugin: no events, no hooks, no wait for a handler, no drain. */
export const unitByHand: ContextWay = async (app) => {
  const { Inbound } = await import('logical-context/middleware/inbound')
  const { xRequestId } = await import('logical-context/propagators')
  const { requestId } = await import('logical-context/variables')
  const inbound = new Inbound({ propagators: [xRequestId()] })
  app.addHook('onRequest', (request, reply, done) => {
    const scope = inbound.open(request.method, request.raw)
    reply.raw.once('close', () => scope.close())
    scope.run(done)
  })
  return () => requestId.get()
}

export const fastifyRequestContext: ContextWay = async (app) => {
  const { fastifyRequestContext: plugin, requestContext } = await import('@fastify/request-context')
  await app.register(plugin, { defaultStoreValues: (request) => ({ id: request.id }) })
  return () => requestContext.get('id' as never)
}

export const nestClsMiddleware: ContextWay = async (app) => {
  const cls = await nestCls()
  const { ClsMiddleware, ClsModule } = await import('nestjs-cls')
  const { NestFactory } = await import('@nestjs/core')
  // The middleware reads the plugins of Nest: none.
  await NestFactory.createApplicationContext(ClsModule.forRoot(), { logger: false })
  const middleware = new ClsMiddleware({ generateId: true, idGenerator: (request: { id: string }) => request.id })
  app.addHook('onRequest', (request, reply, done) => void middleware.use(request, reply, done))
  return () => cls.getId()
}

export const clsRtracer: ContextWay = async (app) => {
  const { default: rtracer } = await import('cls-rtracer')
  await app.register(rtracer.fastifyPlugin as FastifyPluginCallback<{ useFastifyRequestId: boolean }>, {
    useFastifyRequestId: true,
  })
  return () => rtracer.id()
}

export const otelContextApi: ContextWay = async (app) => {
  const { context, keys } = await otelContext(['id'], '')
  const id = keys[0] as symbol
  app.addHook('onRequest', (request, _reply, done) =>
    context.with(context.active().setValue(id, request.id), () => done()),
  )
  return () => context.active().getValue(id)
}

/** OpenTelemetry's SDK with its own propagators and a processor that drops the spans, and @fastify/otel. */
export const fastifyOtel: ContextWay = async (app) => {
  const { api } = await openTelemetrySdk()
  const { FastifyOtelInstrumentation } = await import('@fastify/otel')
  await app.register(new FastifyOtelInstrumentation().plugin())
  return () => api.trace.getActiveSpan()
}

export async function openTelemetrySdk(processors: readonly object[] = []) {
  const api = await import('@opentelemetry/api')
  const { AsyncLocalStorageContextManager } = await import('@opentelemetry/context-async-hooks')
  const { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } = await import('@opentelemetry/core')
  const { NoopSpanProcessor, TracerProvider } = await import('@opentelemetry/sdk-trace')
  api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  api.propagation.setGlobalPropagator(
    new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
  )
  const spanProcessors = [...processors, new NoopSpanProcessor()] as never
  api.trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors }))
  return { api }
}
