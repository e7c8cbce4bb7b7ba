import { callContained } from '../callbacks.ts'
import type { Task } from '../tasks/task.ts'
import { requestId } from '../variables/request-id.ts'

/** The methods of a logger that a middleware calls. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** For a server without a logger: what went wrong goes to stderr. */
export const stderrLog: Log = {
  info() {},
  warn: (fields, message) => console.error(`logical-context: ${message}`, fields),
  error: (fields, message) => console.error(`logical-context: ${message}`, fields),
}

/** A logger of the program. What it throws or rejects with ends nothing, and is printed once. */
export function containedLog(log: Log): Log {
  const contained = (level: keyof Log): Log['warn'] => {
    const write = (fields: object, message: string) => log[level](fields, message)
    return (fields, message) => callContained(`logger.${level}`, write, fields, message)
  }
  return { info: contained('info'), warn: contained('warn'), error: contained('error') }
}

/** Logs a failed task with the ids of its request and its task, in its own context. */
export function logFailure(log: Log, error: unknown, { name, id }: Task): void {
  const ids = { request_id: requestId.get(), task_name: name, task_id: id }
  log.error({ err: error, ...ids }, `task '${name}' failed`)
}
