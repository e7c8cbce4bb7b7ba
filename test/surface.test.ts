import { describe, expect, it } from 'vitest'
import manifest from '../package.json' with { type: 'json' }

/**
 * Every value that the package exports. About 50 can be learned in an hour: a new one needs a reason, and a line here.
 * The middlewares have both a name and the default export, as the plugins and middlewares of their frameworks have.
 */
const surface: Readonly<Record<string, string>> = {
  '.':
    'ContextVar LogicalContext LogicalContextError TaskGroup backgroundGroup bind bindEmitter current currentDeadline currentSignal ' +
    'gather isolateGenerator openScope outside race run runInScope shield spawn withTaskGroup withTimeout',
  './bridges/opentelemetry': 'openTelemetry',
  './bridges/pino': 'contextLogger pinoMixin',
  './channels': 'channels',
  './clients/connect': 'connectClientInterceptor',
  './clients/fetch': 'contextFetch',
  './clients/grpc': 'grpcClientInterceptor',
  './clients/inject': 'inject',
  './clients/node-http': 'instrumentNodeHttp',
  './clients/outbound': 'Outbound',
  './clients/reply-from': 'rewriteRequestHeaders',
  './clients/sqlcommenter': 'sqlCommenter',
  './clients/undici': 'undiciInterceptor',
  './doctor': 'doctor',
  './inspector': 'default inspector inspectorHandler',
  './messages/amqp': 'amqpContext',
  './messages/bullmq': 'bullContext',
  './messages/child-process': 'childContext',
  './messages/kafka': 'kafkaContext',
  './messages/message': 'Messages openEnvelope withEnvelope',
  './messages/nats': 'natsContext',
  './messages/pg-boss': 'contextBoss openBoss',
  './messages/signed-context': 'signedContext',
  './messages/sqs': 'sqsContext',
  './messages/worker-threads': 'threadContext',
  './middleware/connect': 'connectServerInterceptor',
  './middleware/express': 'default logicalContext',
  './middleware/fastify': 'default logicalContext',
  './middleware/grpc': 'grpcServerInterceptor',
  './middleware/hono': 'default logicalContext',
  './middleware/inbound': 'Inbound',
  './middleware/koa': 'default logicalContext',
  './middleware/nestjs': 'ContextConsoleLogger ContextValue InContext LogicalContextModule',
  './middleware/node-http': 'default logicalContext',
  './middleware/websocket': 'default logicalContext',
  './propagators':
    'awsXRay b3 carrierOf childEnvironment composite environmentCarrier fromTextMapPropagator jaeger json mayInject requestTimeout sentry ' +
    'toTextMapPropagator w3cBaggage w3cTraceContext xRequestId',
  './testing':
    'captureLog captureRequests describeMessages describeMiddleware describePropagator extractFrom failOnOpenWork fakeCarrier ' +
    'injectInto runWith sendRequest tasksEnded valueHeaders watchOpenWork',
  './variables': 'Baggage TraceContext Tracestate baggage deadline message newIdentity requestId traceContext',
}
const subpaths = Object.keys(manifest.exports).filter((subpath) => subpath !== './package.json')

describe('the exported values', () => {
  it.each(subpaths)('of %s are those of the list', async (subpath) => {
    const module = (await import(`logical-context${subpath.slice(1)}`)) as object

    expect(Object.keys(module).toSorted().join(' ')).toBe(surface[subpath])
  })

  it('are listed for the subpaths of package.json and no others', () => {
    expect(Object.keys(surface)).toEqual(subpaths)
  })
})
