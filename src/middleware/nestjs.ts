import {
  ConsoleLogger,
  type ConsoleLoggerOptions,
  createParamDecorator,
  type DynamicModule,
  Module,
} from '@nestjs/common'
import { HttpAdapterHost } from '@nestjs/core'
import type { FastifyInstance, onRequestHookHandler } from 'fastify'
import { keepShape } from '../callbacks.ts'
import { ContextVar } from '../context/context-var.ts'
import { outside } from '../context/current.ts'
import {
  anyOf,
  aString,
  checkArgument,
  checkCalled,
  type Checks,
  checkOptions,
  isRecord,
  splitOptions,
} from '../options.ts'
import { backgroundGroup, openScope } from '../tasks/open-scope.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import type { TaskGroup } from '../tasks/task-group.ts'
import { newIdentity, requestId } from '../variables/request-id.ts'
import { activeTrace, traceContext } from '../variables/trace-context.ts'
import { type ExpressMiddleware, logicalContext as expressContext } from './express.ts'
import { logicalContext as fastifyContext } from './fastify.ts'
import { logTo } from './fastify-logger.ts'
import { containedLog } from './log.ts'
import { observablesInUnit } from './nestjs-observables.ts'
import { nodeServerChecks, type NodeServerOptions } from './node-requests.ts'

export type { NodeServerOptions } from './node-requests.ts'
export type { CloseReport, UnfinishedRequest } from './server-drain.ts'

/**
 * The module for NestJS, on Express and on Fastify. Each request has a unit: in middlewares, guards, interceptors, pipes,
 * filters and handlers. `app.close()` and Nest's shutdown hooks wait for requests and tasks.
 */
export class LogicalContextModule {
  static #isConfigured = false

  /** @internal Nest creates the module. */
  constructor() {
    if (LogicalContextModule.#isConfigured) return
    throw new TypeError(
      'LogicalContextModule: expected a module from LogicalContextModule.forRoot() in `imports`, got the class.',
    )
  }

  /**
   * Import the result once, in the root module.
   *
   * @throws {TypeError} for an option that is unknown or of the wrong type.
   */
  static forRoot(options?: NodeServerOptions): DynamicModule {
    LogicalContextModule.#isConfigured = true
    const checked = checkOptions<NodeServerOptions>('LogicalContextModule', options, nodeServerChecks)
    // On Fastify it drains what jobs spawn.
    const middleware = expressContext(checked)
    const useFactory = (host: HttpAdapterHost) => new NestContext(middleware, checked, host)
    const provider = { provide: NestContext, inject: [HttpAdapterHost], useFactory }
    return { module: LogicalContextModule, global: true, providers: [provider], exports: [NestContext] }
  }
}
Module({})(LogicalContextModule)

/** What Nest calls of the module, at the start and the end of an app. */
class NestContext {
  readonly #middleware: ExpressMiddleware
  readonly #host: HttpAdapterHost
  readonly #drainTimeoutMs: number | undefined

  constructor(middleware: ExpressMiddleware, options: NodeServerOptions, host: HttpAdapterHost) {
    this.#middleware = middleware
    this.#host = host
    this.#drainTimeoutMs = options.drainTimeoutMs
    jobGroups.push(middleware.inbound.group)
    // Before Nest adds the body parsers and the middlewares of other modules.
    if (this.#platform === 'express') host.httpAdapter.use(middleware)
    if (this.#platform === 'fastify') {
      const { logger, ...rest } = options
      const fastify = host.httpAdapter.getInstance() as FastifyInstance
      if (logger !== undefined) logTo(fastify, containedLog(logger))
      void fastify.register(fastifyContext, rest)
      fastify.addHook('onRequest', logicalContextOnRaw)
      void fastify.after(() => runFirst(fastify))
    }
  }

  /** Nest calls it when the HTTP server exists. */
  async onModuleInit(): Promise<void> {
    if (this.#platform === 'express') this.#middleware.drainAtClose(this.#host.httpAdapter.getHttpServer())
    if (this.#platform !== undefined) await observablesInUnit()
  }

  /** Drains the jobs. Nest closes the HTTP server after it, which drains the requests and their tasks. */
  async beforeApplicationShutdown(): Promise<void> {
    const { group } = this.#middleware.inbound
    const index = jobGroups.lastIndexOf(group)
    // Nest calls it again at a second close.
    if (index !== -1) jobGroups.splice(index, 1)
    if (this.#platform !== 'express') await group.drain({ timeoutMs: this.#drainTimeoutMs })
  }

  get #platform(): string | undefined {
    return (this.#host.httpAdapter as { getType?(): string } | undefined)?.getType?.()
  }
}

/** Nest passes the raw request to middlewares. */
const logicalContextOnRaw: onRequestHookHandler = (request, _reply, done) => {
  request.raw.requestScope = request.requestScope
  done()
}

/** Nest has added the hook for its middlewares before it creates modules. */
function runFirst(fastify: FastifyInstance): void {
  const symbol = Object.getOwnPropertySymbols(fastify).find(({ description }) => description === 'fastify.hooks')
  const hooks = Reflect.get(fastify, symbol ?? '') as { onRequest: ((...args: never[]) => unknown)[] }
  const isOwn = ({ name }: { name: string }) => /logicalContextOn(?:Request|Raw)$/.test(name)
  const others = hooks.onRequest.filter((hook) => !isOwn(hook))
  hooks.onRequest.splice(0, Infinity, ...hooks.onRequest.filter(isOwn), ...others)
}

/** The groups of the apps of the process. A decorator is evaluated before any of them. */
const jobGroups: TaskGroup[] = []

const valueOf = createParamDecorator((variable: { get(): unknown }) => variable.get())

const aVariable = anyOf('a ContextVar', (value) => value instanceof ContextVar)

/**
 * A parameter decorator: the value of a variable in the request, or its default.
 *
 * @throws {TypeError} if the argument is not a variable.
 */
export function ContextValue(variable: { get(): unknown }): ParameterDecorator {
  checkArgument('ContextValue', aVariable, variable)
  return valueOf(variable)
}

/** Options of `InContext`. */
export interface InContextOptions {
  /** The name of the unit. Default: the names of the class and the method. */
  name?: string
}

const jobChecks: Checks = { name: aString }

/**
 * A method decorator for cron jobs and for consumers of queues: each call runs in a unit of its own, with a new request id
 * and a new trace. Nest's shutdown waits for it, and aborts `currentSignal()` at its limit. A failure is the caller's.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type.
 */
export function InContext(options?: InContextOptions, ...calledByDecorator: never[]): MethodDecorator {
  checkCalled('InContext', 'a decorator', '@InContext()', options, ...calledByDecorator)
  const { name } = checkOptions<InContextOptions>('InContext', options, jobChecks)
  return (target: object, key: string | symbol, descriptor: PropertyDescriptor): void => {
    const method = descriptor.value as (...args: unknown[]) => unknown
    const unitName = name ?? `${target.constructor.name}.${String(key)}`
    const inContext = function (this: unknown, ...args: unknown[]): unknown {
      const group = jobGroups.at(-1) ?? backgroundGroup
      // Node 22 cannot parse `using`.
      const scope = openScope(unitName, { group, context: newIdentity() })
      try {
        const result = scope.run(() => method.apply(this, args))
        if (result instanceof Promise) postponeClose(group, unitName, scope, result)
        return result
      } finally {
        scope.close()
      }
    }
    keepShape(method, inContext)
    // Other decorators keep their metadata at the method.
    const metadata = Reflect as typeof Reflect & Metadata
    for (const known of metadata.getMetadataKeys(method)) {
      metadata.defineMetadata(known, metadata.getMetadata(known, method), inContext)
    }
    descriptor.value = inContext
  }
}

/** A task is what the drain waits for. A full group cannot refuse it, because the job runs already. */
function postponeClose(group: TaskGroup, name: string, scope: RequestScope, result: Promise<unknown>): void {
  const ended = result.then(
    () => {},
    () => {},
  )
  const { signal } = outside(() => group.adopt(name, ended))
  signal.addEventListener('abort', () => scope.abort(signal.reason))
}

/** Added to `Reflect` by `reflect-metadata`, which Nest loads. */
interface Metadata {
  getMetadataKeys(target: object): unknown[]
  getMetadata(key: unknown, target: object): unknown
  defineMetadata(key: unknown, value: unknown, target: object): void
}

/** Options of `ContextConsoleLogger`: those of Nest's logger, and `keys`. */
export interface ContextConsoleLoggerOptions extends ConsoleLoggerOptions {
  /** Other keys for the ids in a line of JSON; `false` omits one. Default: their names. */
  keys?: { readonly request_id?: string | false; readonly trace_id?: string | false }
}

const loggerChecks: Checks = {
  keys: anyOf(
    'an object that has a key or false for request_id or trace_id',
    (value) =>
      isRecord(value) &&
      Object.entries(value).every(
        ([id, key]) =>
          (id === 'request_id' || id === 'trace_id') && (key === undefined || key === false || aString.accepts(key)),
      ),
  ),
}

/**
 * Nest's logger, with the ids of the request and its trace on each line: as fields with the option `json`, else before the
 * message. Pass it as the option `logger` of `NestFactory.create`.
 *
 * @throws {TypeError} if `keys` is of the wrong type.
 */
export class ContextConsoleLogger extends ConsoleLogger {
  readonly #keys: NonNullable<ContextConsoleLoggerOptions['keys']>

  constructor(
    ...args: [context?: string, options?: ContextConsoleLoggerOptions] | [options: ContextConsoleLoggerOptions]
  ) {
    const last = args.at(-1)
    const options = typeof last === 'object' ? last : undefined
    const { own, others } = splitOptions<Pick<ContextConsoleLoggerOptions, 'keys'>, ConsoleLoggerOptions>(
      'ContextConsoleLogger',
      options,
      loggerChecks,
    )
    const given = args.map((arg) => (typeof arg === 'object' ? others : arg))
    super(...(given as [string, ConsoleLoggerOptions]))
    this.#keys = own.keys ?? {}
  }

  protected override getJsonLogObject(
    ...args: Parameters<ConsoleLogger['getJsonLogObject']>
  ): ReturnType<ConsoleLogger['getJsonLogObject']> {
    return { ...super.getJsonLogObject(...args), ...this.#ids() }
  }

  protected override formatContext(context: string): string {
    const id = requestId.get()
    return id === undefined ? super.formatContext(context) : `${super.formatContext(context)}[${id}] `
  }

  #ids(): Record<string, string> {
    const { request_id: idKey = 'request_id', trace_id: traceKey = 'trace_id' } = this.#keys
    const ids = [
      [idKey, requestId.get()],
      [traceKey, activeTrace(traceContext.get())?.traceId],
    ]
    return Object.fromEntries(ids.filter(([key, value]) => key !== false && value !== undefined)) as never
  }
}
