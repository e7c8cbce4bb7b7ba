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
import { contextFetch } from 'logical-context/clients/fetch'
import { inject } from 'logical-context/clients/inject'
import { sqlCommenter } from 'logical-context/clients/sqlcommenter'
import logicalContext from 'logical-context/middleware/fastify'
import { Inbound } from 'logical-context/middleware/inbound'
import { w3cBaggage, xRequestId } from 'logical-context/propagators'
import { pino } from 'pino'
import { describe, expect, it } from 'vitest'

const user = new ContextVar<unknown>('user')
const fn = () => 1
const empty = LogicalContext.empty

/** Calls a function as a program without types can. */
const call = (called: (...args: never[]) => unknown, ...args: unknown[]): unknown =>
  Reflect.apply(called, undefined, args)
const register = (options: object) => Fastify().register(logicalContext, options as never)

describe('a call with a wrong argument throws a TypeError that names the function, and what it expected and got', () => {
  it.each<[name: string, call: () => unknown, message: string]>([
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
  })

  it('does not show a sensitive value that is swapped with the function', () => {
    const password = new ContextVar<unknown>('password', { sensitive: true })

    expect(() => password.run(fn, 'secret' as never)).toThrow(
      new TypeError("ContextVar 'password': run() expected a function after the value, got a value of type string."),
    )
  })
})
