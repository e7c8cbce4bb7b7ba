import Fastify from 'fastify'
import {
  bind,
  bindEmitter,
  ContextVar,
  gather,
  isolateGenerator,
  LogicalContext,
  openScope,
  outside,
  race,
  run,
  runInScope,
  shield,
  spawn,
  TaskGroup,
  withTaskGroup,
  withTimeout,
} from 'logical-context'
import { contextLogger, pinoMixin } from 'logical-context/bridges/pino'
import { connectClientInterceptor } from 'logical-context/clients/connect'
import { contextFetch } from 'logical-context/clients/fetch'
import { grpcClientInterceptor } from 'logical-context/clients/grpc'
import { inject } from 'logical-context/clients/inject'
import { rewriteRequestHeaders } from 'logical-context/clients/reply-from'
import { sqlCommenter } from 'logical-context/clients/sqlcommenter'
import { undiciInterceptor } from 'logical-context/clients/undici'
import { inspectorHandler } from 'logical-context/inspector'
import { amqpContext } from 'logical-context/messages/amqp'
import { bullContext } from 'logical-context/messages/bullmq'
import { kafkaContext } from 'logical-context/messages/kafka'
import { Messages, withEnvelope } from 'logical-context/messages/message'
import { natsContext } from 'logical-context/messages/nats'
import { contextBoss } from 'logical-context/messages/pg-boss'
import { sqsContext } from 'logical-context/messages/sqs'
import { threadContext } from 'logical-context/messages/worker-threads'
import { connectServerInterceptor } from 'logical-context/middleware/connect'
import { logicalContext as expressContext } from 'logical-context/middleware/express'
import logicalContext from 'logical-context/middleware/fastify'
import { grpcServerInterceptor } from 'logical-context/middleware/grpc'
import { logicalContext as honoContext } from 'logical-context/middleware/hono'
import { Inbound } from 'logical-context/middleware/inbound'
import { logicalContext as koaContext } from 'logical-context/middleware/koa'
import { ContextValue, InContext, LogicalContextModule } from 'logical-context/middleware/nestjs'
import { carrierOf, environmentCarrier, mayInject, w3cBaggage, xRequestId } from 'logical-context/propagators'
import {
  describeMessages,
  describeMiddleware,
  describePropagator,
  extractFrom,
  failOnOpenWork,
  fakeCarrier,
  injectInto,
  sendRequest,
} from 'logical-context/testing'
import { Baggage, Tracestate } from 'logical-context/variables'
import { pino } from 'pino'
import { describe, expect, it } from 'vitest'

const user = new ContextVar<unknown>('user')
const fn = () => 1
const empty = LogicalContext.empty

/** Calls a function as a program without types can. */
const call = (called: (...args: never[]) => unknown, ...args: unknown[]): unknown =>
  Reflect.apply(called, undefined, args)
const register = (options: object) => Fastify().register(logicalContext, options as never)

type WrongCall = [name: string, call: () => unknown, message: string]

const messages = new Messages('queues')
const asAny = (value: unknown) => value as never
const wrongMessages: WrongCall[] = [
  [
    'capture',
    () => call(kafkaContext().headers),
    'kafkaContext: expected the name of a queue, a string, got undefined.',
  ],
  [
    'capture with an object',
    () => sqsContext().attributes(asAny({})),
    'sqsContext: expected the name of a queue, a string, got {}.',
  ],
  ['Messages.process', () => messages.process(asAny({ fields: {} }), fn), 'process: expected the name of a queue'],
  [
    'Messages.process without a handler',
    () => messages.process({ queue: 'jobs' }, asAny('run')),
    "process: expected a function, got 'run'.",
  ],
  [
    'Messages.processBatch',
    () => messages.processBatch('jobs', asAny(new Map()), fn),
    'processBatch: expected an array, each item a message, an object, got Map(0) {}.',
  ],
  [
    'Messages.acknowledge',
    () => messages.acknowledge({ queue: 'jobs' }, asAny(5)),
    'acknowledge: expected a function, got 5.',
  ],
  [
    'Messages.enqueue, swapped',
    () => messages.enqueue('jobs', asAny(Promise.resolve()), asAny(5)),
    'enqueue: expected a number of at least 0, got Promise {',
  ],
  [
    'a record',
    () => kafkaContext().process('jobs', asAny(null), fn),
    'process: expected a message, an object, got null.',
  ],
  [
    'records',
    () => kafkaContext().processBatch('jobs', [asAny(1)], fn),
    'processBatch: expected an array, each item a message, an object, got [ 1 ].',
  ],
  [
    'a message of SQS',
    () => sqsContext().process('jobs', asAny(undefined), fn),
    'process: expected a message, an object, got undefined.',
  ],
  [
    'a message of NATS',
    () => natsContext().process(asAny({}), fn),
    'process: expected a message of JetStream, got {}.',
  ],
  [
    'a client of NATS',
    () => natsContext().publish(asAny({}), 'jobs'),
    'publish: expected a client of JetStream, got {}.',
  ],
  [
    'data of an envelope',
    () => withEnvelope(asAny([1, 2]), {}),
    'withEnvelope: expected an object as data, not an array',
  ],
  [
    'a text as data of an envelope',
    () => withEnvelope(asAny('text'), {}),
    'withEnvelope: expected an object as data, not an array',
  ],
  [
    'data of pg-boss',
    () => contextBoss(asAny({ stop() {} })).send('jobs', [1]),
    'send: expected an object as data, not an array: the context travels in a property of it, got [ 1 ].',
  ],
  [
    'a channel without confirms',
    () => amqpContext().send(asAny({ sendToQueue() {} }), 'jobs', Buffer.from('')),
    'send: expected a ConfirmChannel of amqplib, from createConfirmChannel(), got { sendToQueue:',
  ],
  ['a channel', () => amqpContext().consume(asAny({}), 'jobs', fn), 'consume: expected a channel of amqplib, got {}.'],
  [
    'a queue of BullMQ',
    () => bullContext().add(asAny('jobs'), 'job', {}),
    "add: expected a Queue of BullMQ, got 'jobs'.",
  ],
  [
    'workers of BullMQ',
    () => bullContext().close(asAny({})),
    'close: expected an array, each item a Worker of BullMQ, got {}.',
  ],
  [
    'a telemetry of BullMQ',
    () => bullContext({ telemetry: asAny({}) }),
    "bullContext: option 'telemetry' expected a Telemetry of BullMQ, got {}.",
  ],
  [
    'a pool of threads',
    () => threadContext().run(asAny(fn), {}),
    'run: expected a pool of piscina, got [Function: fn].',
  ],
]

const wrongHelpers: WrongCall[] = [
  [
    'Inbound.open',
    () => new Inbound().open(asAny(5), { headers: {} }),
    'Inbound.open: expected the name of the unit, a string, got 5.',
  ],
  [
    'Inbound.open with an id',
    () => new Inbound().open('job', asAny({ headers: {}, socket: {} }), asAny('id-1')),
    "Inbound.open: expected a function that returns an id, got 'id-1'.",
  ],
  [
    'mayInject, swapped',
    () => mayInject(asAny(user), asAny({})),
    'mayInject: expected a destination, as inject() of a',
  ],
  [
    'mayInject with a name',
    () => mayInject({ trace: true, values: true, refuse() {} }, asAny('user')),
    "mayInject: expected a ContextVar, got 'user'.",
  ],
  ['carrierOf', () => carrierOf(asAny(Promise.resolve({}))), 'carrierOf: expected a carrier, got Promise {'],
  [
    'inject of a promise',
    () => inject(asAny(Promise.resolve({}))),
    'inject: expected a carrier, such as Headers, a Map or an object of headers, got Promise {',
  ],
  [
    'environmentCarrier',
    () => environmentCarrier(asAny(Promise.resolve({}))),
    'environmentCarrier: expected an object of environment variables, such as process.env, got Promise {',
  ],
  ['Baggage.parse', () => Baggage.parse(asAny(undefined)), 'Baggage.parse: expected a text, got undefined.'],
  ['Tracestate.parse', () => Tracestate.parse(asAny(['a=b'])), "Tracestate.parse: expected a text, got [ 'a=b' ]."],
  [
    'properties of baggage',
    () => Baggage.empty.set('plan', 'free', asAny({ ttl: '1' })),
    "Baggage.set: expected an array of properties, each [key] or [key, value], got { ttl: '1' }.",
  ],
  [
    'a test runner',
    () => describePropagator(asAny(describe), 'x', asAny(fn), asAny({})),
    'describePropagator: expected the functions of a test runner, { describe, it, expect }, got [Function',
  ],
  [
    'an app as a server of the contract',
    () => describeMiddleware({ describe, it, expect }, 'x', asAny(Fastify())),
    'describeMiddleware: expected a function, got ',
  ],
  [
    'an engine of the contract',
    () => describeMessages({ describe, it, expect }, 'x', asAny(fn)),
    'describeMessages: expected an engine with open(), { open }, got [Function: fn].',
  ],
  [
    'samples',
    () => describePropagator({ describe, it, expect }, 'x', asAny(fn), asAny({})),
    'describePropagator: expected samples with arrays of contexts and texts, got {}.',
  ],
  [
    'extractFrom',
    () => extractFrom(asAny(xRequestId), {}),
    'extractFrom: expected a propagator, got [Function: xRequestId].',
  ],
  [
    'injectInto, swapped',
    () => injectInto(asAny(empty), asAny(xRequestId())),
    'injectInto: expected a propagator, got ',
  ],
  ['fakeCarrier', () => fakeCarrier(asAny(new Map())), 'fakeCarrier: expected an object of fields, got Map(0) {}.'],
  [
    'failOnOpenWork',
    () => failOnOpenWork(asAny(undefined)),
    'failOnOpenWork: a hook of the test runner: expected a function, got undefined.',
  ],
  ['sendRequest', () => sendRequest('orders'), 'sendRequest: expected a Fastify app, an address, or a server'],
  ['ContextValue', () => ContextValue(asAny(new Map())), 'ContextValue: expected a ContextVar, got Map(0) {}.'],
]

const middlewareUncalled =
  'logicalContext: expected options, got the arguments of a middleware. Call it: app.use(logicalContext()).'
const interceptorUncalled = (name: string) =>
  `${name}: expected options, got the arguments of an interceptor. Call it: ${name}().`
/** A library calls what the program should have called. */
const uncalled: WrongCall[] = [
  ['app.use(logicalContext) of Express', () => call(expressContext, { url: '/' }, {}, fn), middlewareUncalled],
  [
    'app.use(inspectorHandler) of Express',
    () => call(inspectorHandler, { url: '/' }, {}, fn),
    'inspectorHandler: expected options, got the arguments of a handler. Call it: inspectorHandler().',
  ],
  ['app.use(logicalContext) of Koa', () => call(koaContext, { req: {} }, fn), middlewareUncalled],
  ['app.use(logicalContext) of Hono', () => call(honoContext, { req: {} }, fn), middlewareUncalled],
  [
    'a server interceptor of gRPC',
    () => call(grpcServerInterceptor, { path: '/' }, {}),
    interceptorUncalled('grpcServerInterceptor'),
  ],
  [
    'a client interceptor of gRPC',
    () => call(grpcClientInterceptor, {}, fn),
    interceptorUncalled('grpcClientInterceptor'),
  ],
  [
    'a server interceptor of Connect',
    () => call(connectServerInterceptor, fn),
    interceptorUncalled('connectServerInterceptor'),
  ],
  [
    'a client interceptor of Connect',
    () => call(connectClientInterceptor, fn),
    interceptorUncalled('connectClientInterceptor'),
  ],
  ['an interceptor of undici', () => call(undiciInterceptor, fn), interceptorUncalled('undiciInterceptor')],
  [
    'a rewrite of @fastify/reply-from',
    () => call(rewriteRequestHeaders, {}, { accept: 'a/b' }),
    'rewriteRequestHeaders: expected options, got the arguments of a rewrite. Call it: rewriteRequestHeaders().',
  ],
]

const wrongPlaces: WrongCall[] = [
  [
    'the middleware of Express in Koa',
    () => call(expressContext(), { req: {}, res: {} }, fn),
    'logicalContext: expected a request and a response of Node',
  ],
  [
    'the middleware of Koa in Express',
    () => call(koaContext(), { url: '/' }, { setHeader() {} }, fn),
    'logicalContext: expected a request and a response of Node',
  ],
  [
    'the middleware of Hono in Express',
    () => call(honoContext(), { url: '/' }, { setHeader() {} }, fn),
    'logicalContext: expected a request and a response of Node',
  ],
  [
    'the option of a route outside its config',
    async () => {
      const app = Fastify()
      await app.register(logicalContext)
      app.get('/', { logicalContext: { policy: 'isolate' } } as never, fn)
    },
    'GET /: expected the option in { config: { logicalContext: … } }, got { logicalContext: … }, which Fastify ignores.',
  ],
  [
    '@InContext without a call',
    () => call(InContext, {}, 'run', {}),
    'InContext: expected options, got the arguments of a decorator. Call it: @InContext().',
  ],
  [
    'a message context without a name',
    () => new Messages({ propagators: [] } as never),
    'Messages: the name: expected a string of at least one character, got { propagators: [] }.',
  ],
  [
    'an argument with hundreds of properties',
    () => call(bindEmitter, Object.fromEntries(Array.from({ length: 400 }, (_, index) => [`property${index}`, index]))),
    'bindEmitter: expected an EventEmitter or an EventTarget that can be changed, got { property0: 0, property1: 1,',
  ],
  [
    'options in a call of contextFetch',
    () => contextFetch('http://127.0.0.1:1/', { values: ['127.0.0.1'] } as never),
    "contextFetch: expected the option 'values' in contextFetch.with({ values }), got it in the settings of a call.",
  ],
  [
    'a promise in a list of propagators',
    () => contextFetch.with({ propagators: [Promise.resolve(xRequestId()) as never] }),
    "contextFetch: option 'propagators' expected a propagator with fields, extract and inject, got Promise {",
  ],
  [
    'the module of Nest without forRoot',
    () => new LogicalContextModule(),
    'LogicalContextModule: expected a module from LogicalContextModule.forRoot() in `imports`, got the class.',
  ],
]

describe('a call with a wrong argument throws a TypeError that names the function, and what it expected and got', () => {
  it.each<WrongCall>([
    [
      'run of a variable, swapped',
      () => user.run(fn, 5 as never),
      "ContextVar 'user': run() expected a function after the value, got 5.",
    ],
    ['run without a context', () => call(run, fn), 'run: expected a LogicalContext, got [Function: fn].'],
    ['run without a function', () => call(run, empty), 'run: expected a function, got undefined.'],
    ['get of a context', () => empty.get('x' as never), "LogicalContext.get: expected a ContextVar, got 'x'."],
    ['has of a context', () => empty.has({} as never), 'LogicalContext.has: expected a ContextVar, got {}.'],
    [
      'with of a context',
      () => empty.with({} as never, 1 as never),
      'LogicalContext.with: expected a ContextVar, got {}.',
    ],
    ['without of a context', () => empty.without(1 as never), 'LogicalContext.without: expected a ContextVar, got 1.'],
    [
      'inject, swapped',
      () => call(inject, { to: 'https://orders' }, {}),
      "inject: expected the carrier as first argument, got options: { to: 'https://orders' }.",
    ],
    [
      'inject, swapped with Headers',
      () => call(inject, { context: empty }, new Headers()),
      'inject: expected an options object as second argument, got Headers {}.',
    ],
    [
      'inject, a context second',
      () => call(inject, {}, empty),
      'inject: expected an options object as second argument, got LogicalContext {}.',
    ],
    [
      'inject of a URL',
      () => call(inject, 'https://orders', {}),
      "inject: expected a carrier, such as Headers, a Map or an object of headers, got 'https://orders'.",
    ],
    [
      'pinoMixin with a list',
      () => pinoMixin({ fields: [user] as never }),
      "pinoMixin: option 'fields' expected an object of variables by key, got [ ContextVar(user) ].",
    ],
    [
      'contextLogger with a list',
      () => contextLogger(pino(), { fields: [user] as never }),
      "contextLogger: option 'fields' expected an object of variables by key, got [ ContextVar(user) ].",
    ],
    [
      'contextLogger with a Map',
      () => contextLogger(pino(), { fields: new Map([['user', user]]) as never }),
      "contextLogger: option 'fields' expected an object of variables by key, got Map(1) {",
    ],
    [
      'contextLogger with keys in a Map',
      () => contextLogger(pino(), { keys: new Map([['trace_id', 'id']]) as never }),
      "contextLogger: option 'keys' expected an object that has a key or false for some of request_id, trace_id",
    ],
    [
      'contextLogger with a list of keys',
      () => contextLogger(pino(), { keys: [] as never }),
      "contextLogger: option 'keys' expected an object that has a key or false for some of request_id, trace_id",
    ],
    [
      'w3cBaggage with a Map',
      () => call(w3cBaggage, { members: new Map([['user', user]]) }),
      "w3cBaggage: option 'members' expected an object of members, got Map(1) {",
    ],
    [
      'sqlCommenter with a Map',
      () => sqlCommenter({ fields: new Map([['user', user]]) as never }),
      "sqlCommenter: option 'fields' expected an object of variables, got Map(1) {",
    ],
    [
      'pinoMixin as a mixin',
      () => pino({ mixin: pinoMixin as never }, { write() {} }).info('text'),
      'pinoMixin: expected options, got the arguments of a mixin. Call it: { mixin: pinoMixin() }.',
    ],
    ['isolateGenerator', () => call(isolateGenerator, {}), 'isolateGenerator: expected a generator function, got {}.'],
    [
      'isolateGenerator of a function',
      () => (isolateGenerator(fn as never) as () => unknown)(),
      'isolateGenerator: expected a generator function, got one that returns 1.',
    ],
    [
      'isolateGenerator of an iterable',
      () => (isolateGenerator((() => [1]) as never) as () => unknown)(),
      'isolateGenerator: expected a generator function, got one that returns [ 1 ].',
    ],
    [
      'expireAt',
      () => openScope('job').expireAt(Number.NaN),
      'RequestScope.expireAt: expected a number of at least 0, got NaN.',
    ],
    [
      'openScope without a name',
      () => call(openScope),
      'openScope: expected a name, a string of at least one character, got undefined.',
    ],
    [
      'openScope with a deadline',
      () => openScope('job', { deadline: Number.NaN }),
      "openScope: option 'deadline' expected a number of at least 0, got NaN.",
    ],
    ['runInScope', () => call(runInScope, 1), 'runInScope: expected a function, got 1.'],
    ['run of a scope', () => openScope('job').run(1 as never), 'RequestScope.run: expected a function, got 1.'],
    ['spawn', () => runInScope(() => call(spawn, 1)), 'spawn: expected a function'],
    ['bind', () => call(bind, 1), 'bind: expected a function, got 1.'],
    ['outside', () => call(outside, 1), 'outside: expected a function, got 1.'],
    [
      'bindEmitter',
      () => call(bindEmitter, {}),
      'bindEmitter: expected an EventEmitter or an EventTarget that can be changed, got {}.',
    ],
    ['withTimeout, swapped', () => call(withTimeout, 5, fn), 'withTimeout: expected a function, got 5.'],
    ['withTimeout', () => withTimeout(fn, Number.NaN), 'withTimeout: expected a number of at least 0, got NaN.'],
    ['shield', () => call(shield, 1), 'shield: expected a function, got 1.'],
    ['gather', () => call(gather, fn), 'gather: expected an array of functions, got [Function: fn].'],
    ['race', () => race([]), 'race: expected at least one function, got none.'],
    ['withTaskGroup', () => call(withTaskGroup, 1), 'withTaskGroup: expected a function, got 1.'],
    [
      'TaskGroup',
      () => new TaskGroup({ maxConcurrent: 0 }),
      "TaskGroup: option 'maxConcurrent' expected a whole number of at least 1, or Infinity, got 0.",
    ],
    [
      'ContextVar',
      () => new ContextVar(1 as never),
      'ContextVar: expected a name, a string of at least one character, got 1.',
    ],
    [
      'a propagator',
      () => register({ propagators: ['w3c'] }),
      "logicalContext: option 'propagators' expected a propagator with fields, extract and inject, got 'w3c'.",
    ],
    [
      'propagators of a client',
      () => contextFetch.with({ propagators: [xRequestId as never] }),
      "contextFetch: option 'propagators' expected a propagator with fields, extract and inject, got [Function: xRequestId]. Call it: xRequestId().",
    ],
    ['limits', () => register({ limits: 5 }), "logicalContext: option 'limits' expected an object of limits, got 5."],
    [
      'a limit',
      () => register({ limits: { maxConcurrent: -1 } }),
      "logicalContext: option 'limits': option 'maxConcurrent' expected a whole number of at least 1, or Infinity, got -1.",
    ],
    [
      'policy',
      () => register({ policy: 'copy' }),
      "logicalContext: option 'policy' expected 'inherit', 'isolate', 'share'",
    ],
    [
      'trust',
      () => register({ trust: 5 }),
      "logicalContext: option 'trust' expected addresses, a function of the request or an object of options, got 5.",
    ],
    ...wrongMessages,
    ...uncalled,
    ...wrongPlaces,
    ...wrongHelpers,
    [
      'propagators of Inbound',
      () => new Inbound({ propagators: xRequestId() as never }),
      "Inbound: option 'propagators' expected an array of propagators, got { fields: [",
    ],
  ])('%s', async (_, wrong, message) => {
    const error: unknown = await (async () => wrong())().then(
      () => 'no error',
      (thrown: unknown) => thrown,
    )

    expect(error).toBeInstanceOf(TypeError)
    expect((error as TypeError).message.slice(0, message.length)).toBe(message)
    expect((error as TypeError).message).toMatch(/expected .* got /s)
    expect((error as TypeError).message.length).toBeLessThan(1000)
  })

  it('does not show a sensitive value that is swapped with the function', () => {
    const password = new ContextVar<unknown>('password', { sensitive: true })

    expect(() => password.run(fn, 'secret' as never)).toThrow(
      new TypeError("ContextVar 'password': run() expected a function after the value, got a value of type string."),
    )
  })
})
