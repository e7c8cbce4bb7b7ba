import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Cell, cellKey } from '../context/cell.ts'
import { keepShape } from '../callbacks.ts'
import { isFunction } from '../options.ts'
import { type Log, stderrLog } from './log.ts'

const logs = new WeakMap<FastifyInstance, Log>()

/** Where the plugin logs: to the app's logger; to stderr for `Fastify()`, whose logger drops every line. */
export function logOf(fastify: FastifyInstance): Log {
  const { log } = fastify
  return logs.get(fastify) ?? (isOwnChild(log) && log.error === log.info ? stderrLog : log)
}

/** Sets another logger, before the registration of the plugin. */
export function logTo(fastify: FastifyInstance, log: Log): void {
  logs.set(fastify, log)
}

/** A factory of Fastify's for the loggers of requests. */
type LoggerFactory = FastifyInstance['childLoggerFactory']

/**
 * Attaches the units of requests to their loggers: Fastify logs "incoming request" outside any context, and other lines
 * after an event or a timer. It creates the logger right after the id.
 */
export class RequestLoggers {
  /** The cell of the request whose logger is created next. */
  #next: Cell | undefined
  /** Warns once of a logger that was not seen in time. Undefined if that cannot be. */
  #warn: (() => void) | undefined

  constructor(fastify: FastifyInstance, warn: (message: string) => void) {
    const { log, childLoggerFactory, setChildLoggerFactory } = fastify
    if (!isDefault(childLoggerFactory)) this.#warn = () => warn(tooEarly)
    setChildLoggerFactory.call(fastify, this.attaching(childLoggerFactory))
    const attaching = (factory: LoggerFactory) => this.attaching(factory)
    fastify.setChildLoggerFactory = keepShape(setChildLoggerFactory, function (this: FastifyInstance, factory) {
      return setChildLoggerFactory.call(this, isFunction(factory) ? attaching(factory) : factory)
    })
    if (!isOwnChild(log)) this.#watch(log)
  }

  /** The next logger that is created belongs to the unit of this cell. */
  expect(cell: Cell): void {
    this.#next = cell
  }

  /** Called when the first line of a request is logged, and all others are not: the last moment for its logger. */
  begun(request: FastifyRequest, reply: FastifyReply, cell: Cell): void {
    this.#next = undefined
    if (this.#warn === undefined) return
    const log = withCell(request.log, cell)
    if (log === request.log) return
    request.log = log
    reply.log = log
    this.#warn()
    this.#warn = () => {}
  }

  /** The factory, if it is not Fastify's own, with a logger of each request's own: the program's can return any logger. */
  attaching(factory: LoggerFactory): LoggerFactory {
    if (isDefault(factory)) return factory
    const take = () => this.#take()
    return keepShape(factory, function (this: FastifyInstance, logger, bindings, options, message) {
      const cell = take()
      const made = factory.call(this, logger, bindings, options, message)
      return cell === undefined ? made : withCell(made, cell)
    })
  }

  /** For a factory that was set before the plugin: a route that was declared before has it too. */
  #watch(logger: FastifyBaseLogger): void {
    const { child } = logger
    const take = () => this.#take()
    logger.child = keepShape(child, function (this: FastifyBaseLogger, bindings, options) {
      const made = child.call(this, bindings, options)
      // A logger that returns itself belongs to no request.
      const cell = made === this ? undefined : take()
      if (cell !== undefined) (made as Attached)[cellKey] = cell
      return made
    })
  }

  #take(): Cell | undefined {
    const cell = this.#next
    this.#next = undefined
    return cell
  }
}

/** A route that was declared before the plugin has kept its factory. */
const tooEarly =
  "logicalContext: the lines 'incoming request' have no fields of their requests where the loggers come from a " +
  'childLoggerFactory of the program, and the route was declared before the plugin was registered. ' +
  'Await app.register(logicalContext) before you declare routes.'

function isDefault(factory: LoggerFactory): boolean {
  return factory.name === 'defaultChildLoggerFactory'
}

interface Attached {
  [cellKey]?: Cell
}

/** Other requests may use the same logger. Only lines of pino have the fields of a unit. */
function withCell(logger: FastifyBaseLogger, cell: Cell): FastifyBaseLogger {
  const { bindings, [cellKey]: known } = (logger ?? {}) as Partial<PinoLike> & Attached
  if (!isFunction(bindings) || known === cell) return logger
  const own = Object.create(logger) as FastifyBaseLogger & Attached
  own[cellKey] = cell
  return own
}

interface PinoLike {
  bindings: unknown
}

/** The logger of `Fastify()`, and some of tests. */
function isOwnChild(logger: FastifyBaseLogger): boolean {
  return logger.child({ reqId: '' }) === logger
}
