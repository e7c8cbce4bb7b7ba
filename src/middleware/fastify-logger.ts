import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { type Cell, cellKey } from '../context/cell.ts'
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

/**
 * Attaches the units of requests to their loggers: Fastify logs "incoming request" outside any context, and other lines
 * after an event or a timer. It creates the logger right after the id, and passes the id in the bindings, also to a
 * `childLoggerFactory` of the program.
 */
export class RequestLoggers {
  #id: string | undefined
  #cell: Cell | undefined

  constructor(logger: FastifyBaseLogger) {
    if (isOwnChild(logger)) return
    const { child } = logger
    const attach = (made: FastifyBaseLogger, bindings: object) => this.#attach(made, bindings)
    logger.child = function childOfRequest(this: FastifyBaseLogger, bindings, options) {
      const made = child.call(this, bindings, options)
      // A logger that returns itself belongs to no request.
      if (made !== this) attach(made, bindings)
      return made
    }
  }

  /** The next logger with this id in its bindings is the request's. */
  expect(id: string, cell: Cell): void {
    this.#id = id
    this.#cell = cell
  }

  #attach(made: FastifyBaseLogger, bindings: object): void {
    if (this.#id === undefined || !Object.values(bindings).includes(this.#id)) return
    ;(made as { [cellKey]?: Cell })[cellKey] = this.#cell as Cell
    this.#id = undefined
    this.#cell = undefined
  }
}

/** The logger of `Fastify()`, and some of tests. */
function isOwnChild(logger: FastifyBaseLogger): boolean {
  return logger.child({ reqId: '' }) === logger
}
