import { W3CTraceContextPropagator } from '@opentelemetry/core'
import Fastify, { type FastifyInstance } from 'fastify'
import { ContextVar, gather, openScope, race, runInScope, TaskGroup, withTaskGroup, withTimeout } from 'logical-context'
import { contextLogger, pinoMixin } from 'logical-context/bridges/pino'
import { openTelemetry } from 'logical-context/bridges/opentelemetry'
import { connectClientInterceptor } from 'logical-context/clients/connect'
import { contextFetch } from 'logical-context/clients/fetch'
import { grpcClientInterceptor } from 'logical-context/clients/grpc'
import { inject } from 'logical-context/clients/inject'
import { instrumentNodeHttp } from 'logical-context/clients/node-http'
import { rewriteRequestHeaders } from 'logical-context/clients/reply-from'
import { undiciInterceptor } from 'logical-context/clients/undici'
import { sqlCommenter } from 'logical-context/clients/sqlcommenter'
import { Outbound } from 'logical-context/clients/outbound'
import { amqpContext } from 'logical-context/messages/amqp'
import { bullContext } from 'logical-context/messages/bullmq'
import { childContext } from 'logical-context/messages/child-process'
import { kafkaContext } from 'logical-context/messages/kafka'
import { Messages } from 'logical-context/messages/message'
import { natsContext } from 'logical-context/messages/nats'
import { contextBoss, openBoss } from 'logical-context/messages/pg-boss'
import { signedContext, type SignedContextOptions } from 'logical-context/messages/signed-context'
import { sqsContext } from 'logical-context/messages/sqs'
import { threadContext } from 'logical-context/messages/worker-threads'
import { logicalContext as expressContext } from 'logical-context/middleware/express'
import { connectServerInterceptor } from 'logical-context/middleware/connect'
import { logicalContext } from 'logical-context/middleware/fastify'
import { grpcServerInterceptor } from 'logical-context/middleware/grpc'
import { logicalContext as honoContext } from 'logical-context/middleware/hono'
import { Inbound } from 'logical-context/middleware/inbound'
import { logicalContext as koaContext } from 'logical-context/middleware/koa'
import { InContext, LogicalContextModule } from 'logical-context/middleware/nestjs'
import { logicalContext as nodeContext } from 'logical-context/middleware/node-http'
import { logicalContext as websocketContext } from 'logical-context/middleware/websocket'
import {
  awsXRay,
  b3,
  composite,
  jaeger,
  requestTimeout,
  fromTextMapPropagator,
  sentry,
  xRequestId,
  toTextMapPropagator,
  w3cBaggage,
  w3cTraceContext,
} from 'logical-context/propagators'
import { pino } from 'pino'
import { WebSocketServer } from 'ws'
import { checkRoute } from '../../../src/middleware/fastify-route.ts'
import { compileTrust } from '../../../src/propagators/trust.ts'

const nothing = () => undefined
const group = new TaskGroup({ name: 'fuzz', onError: nothing })
const logger = pino({ enabled: false })

/** Every public function that takes options, called with them and with nothing else that could be wrong. */
export const owners: ReadonlyMap<string, (options: never) => unknown> = new Map<string, (options: never) => unknown>([
  ['ContextVar', (options) => new ContextVar('fuzzed', options)],
  ['TaskGroup', (options) => new TaskGroup(options)],
  ['TaskGroup.spawn', (options) => group.spawn(nothing, options).result()],
  ['TaskGroup.drain', (options) => new TaskGroup({ name: 'drained', onError: nothing }).drain(options)],
  ['runInScope', (options) => runInScope(nothing, options)],
  ['gather', (options) => gather([nothing], options)],
  ['race', (options) => race([nothing], options)],
  ['withTaskGroup', (options) => withTaskGroup(nothing, options)],
  ['withTimeout', (options) => withTimeout(nothing, 1000, options)],
  ['openScope', (options) => openScope('scope', options)],
  ['b3', b3],
  ['composite', composite],
  ['compileTrust', compileTrust],
  ['requestTimeout', requestTimeout],
  ['fromTextMapPropagator', (options) => fromTextMapPropagator(new W3CTraceContextPropagator(), options)],
  ['xRequestId', xRequestId],
  ['toTextMapPropagator', (options) => toTextMapPropagator(b3(), options)],
  ['w3cBaggage', w3cBaggage],
  ['contextFetch.with', contextFetch.with],
  ['inject.with', inject.with],
  ['inject', (options) => inject({}, options)],
  ['undiciInterceptor', undiciInterceptor],
  ['instrumentNodeHttp', (options) => instrumentNodeHttp(options)[Symbol.dispose]()],
  ['rewriteRequestHeaders', rewriteRequestHeaders],
  ['grpcClientInterceptor', grpcClientInterceptor],
  ['connectClientInterceptor', connectClientInterceptor],
  ['connectServerInterceptor', connectServerInterceptor],
  ['grpcServerInterceptor', grpcServerInterceptor],
  ['pinoMixin', pinoMixin],
  ['contextLogger', (options) => contextLogger(logger, options)],
  ['openTelemetry', openTelemetry],
  ['RequestScope.listener', (options) => openScope('scope').listener(nothing, options)],
  [
    'group.spawn after withTaskGroup',
    async (options) => (await withTaskGroup(async (inner) => [inner]))[0]?.spawn(nothing, options),
  ],
  ['jaeger', jaeger],
  ['w3cTraceContext', w3cTraceContext],
  ["toTextMapPropagator's peer", (peer) => toTextMapPropagator(b3(), { peer })],
  ["toTextMapPropagator's destination", (destination) => toTextMapPropagator(b3(), { destination })],
  ['Outbound', (options) => new Outbound('Outbound', options)],
  ['Inbound', (options) => new Inbound(options)],
  ["Inbound's limits", (limits) => new Inbound({ limits })],
  // A text and an array are valid lists.
  ["Inbound's trust", (trust) => new Inbound({ trust: isList(trust) ? null : trust } as never)],
  ['logicalContext', (options) => registered(options)],
  ["logicalContext's route", (config) => void checkRoute('GET /', config)],
  [
    'logicalContext inside a plugin',
    async (options) => (await registered(undefined)).register(async (app) => registered(options, app)),
  ],
  ['Messages', (options) => new Messages('Messages', options)],
  ["Messages' limits", (limits) => new Messages('Messages', { limits })],
  ['Messages.close', (options) => new Messages('Messages').close(options)],
  ['amqpContext', amqpContext],
  ['amqpContext().close', (options) => amqpContext().close(options)],
  ['bullContext', bullContext],
  ['bullContext().close', (options) => bullContext().close([], options)],
  ['kafkaContext', kafkaContext],
  ['kafkaContext().close', (options) => kafkaContext().close(options)],
  ['natsContext', natsContext],
  ['natsContext().close', (options) => natsContext().close(options)],
  ['contextBoss', (options) => contextBoss(fakeBoss, options)],
  ['contextBoss().close', (options) => contextBoss(fakeBoss).close(options)],
  ['openBoss', (options) => openBoss(refused(options))],
  ['sqsContext', sqsContext],
  ['sqsContext().close', (options) => sqsContext().close(options)],
  ['threadContext', threadContext],
  ['awsXRay', awsXRay],
  ['sentry', sentry],
  ['sqlCommenter', sqlCommenter],
  ['signedContext', (options) => signedContext([b3()], withKeys(options))],
  ['childContext', childContext],
  ['childContext().close', (options) => childContext().close(options)],
  ['logicalContext of node-http', (options) => nodeContext(nothing, options)],
  ['logicalContext of express', expressContext],
  ['logicalContext of koa', koaContext],
  ['logicalContext of hono', honoContext],
  ['logicalContext of websocket', (options) => websocketContext(new WebSocketServer({ noServer: true }), options)],
  ['logicalContext of nestjs', (options) => LogicalContextModule.forRoot(options)],
  ['InContext', InContext],
  ['threadContext().close', (options) => threadContext().close(options)],
])

/** Every public function that takes options of another package with ours. Their results are what that package received. */
export const mixedOwners: ReadonlyMap<string, (options: never) => unknown> = new Map<
  string,
  (options: never) => unknown
>([
  ['amqpContext().publishOptions', (options) => amqpContext().publishOptions('jobs', options)],
  [
    'amqpContext().send',
    (options) =>
      received((take) => amqpContext().send({ sendToQueue: take } as never, 'jobs', Buffer.from(''), options)),
  ],
  [
    'amqpContext().consume',
    (options) => received((take) => amqpContext().consume({ consume: take } as never, 'jobs', nothing, options)),
  ],
  [
    'bullContext().add',
    (options) => received((take) => bullContext().add({ name: 'jobs', add: take } as never, 'job', {}, options)),
  ],
  ['bullContext().jobOptions', (options) => bullContext().jobOptions('jobs', 'inherit', options)],
  ['bullContext().flow', (job) => bullContext().flow(job)],
  [
    'natsContext().publish',
    (options) => received((take) => natsContext().publish({ publish: take } as never, 'jobs', '', options)),
  ],
  ['contextBoss().send', (options) => received((send) => contextBoss({ send } as never).send('jobs', {}, options))],
  [
    'contextBoss().work',
    (options) => received((work) => contextBoss({ work } as never).work('jobs', options, nothing)),
  ],
  [
    'threadContext().run',
    (options) => received((run) => threadContext().run({ options: { atomics: 'async' }, run } as never, {}, options)),
  ],
])

/** The options with which a package was called. */
async function received(call: (take: (...args: unknown[]) => unknown) => Promise<unknown>): Promise<unknown> {
  let options: unknown
  const take = (...args: unknown[]) => {
    options = args.findLast((arg) => typeof arg === 'object')
    // The confirmation of amqplib.
    const [, , , confirm] = args
    if (typeof confirm === 'function') (confirm as (error: null) => void)(null)
    return Promise.resolve({})
  }
  await call(take)
  return options
}

async function registered(options: unknown, app: FastifyInstance = Fastify()): Promise<FastifyInstance> {
  // `register` replaces null by no options.
  await app.register((instance) => logicalContext(instance, options as object))
  return app
}

function isList(value: unknown): boolean {
  return typeof value === 'string' || Array.isArray(value)
}

const fakeBoss = { offWork: nothing, stop: nothing } as never

/** `keys` is required. */
function withKeys(options: unknown): SignedContextOptions {
  const isObject = typeof options === 'object' && options !== null && !Array.isArray(options)
  return (isObject && Object.getPrototypeOf(options) === Object.prototype ? { keys: {}, ...options } : options) as never
}

/** Valid options would start a database: they are refused as well. */
function refused(options: object): object {
  return typeof options === 'object' && options !== null && !Array.isArray(options)
    ? { ...options, url: 'x', directory: 'x' }
    : options
}
