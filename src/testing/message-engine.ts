import { ContextVar } from '../context/context-var.ts'
import type { CloseReport, MessagePolicy, MessagesOptions } from '../messages/message.ts'
import type { Propagator } from '../propagators/propagator.ts'
import { w3cBaggage } from '../propagators/w3c-baggage.ts'
import { w3cTraceContext } from '../propagators/w3c-trace-context.ts'
import { xRequestId } from '../propagators/x-request-id.ts'
import { runInScope } from '../tasks/open-scope.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { message } from '../variables/message.ts'
import { requestId } from '../variables/request-id.ts'
import { TraceContext, traceContext } from '../variables/trace-context.ts'

/** Options of the adapter under test. */
export interface QueueOptions extends MessagesOptions {
  /** How long an enqueue waits, in milliseconds. Only for an engine with `kill`. Default: as the adapter has it. */
  enqueueTimeoutMs?: number
}

/** A worker in a process of its own. */
export interface WorkerProcess {
  /** What its first job has read. It does not end this job. */
  readonly seen: Promise<SeenValues>
  /** Ends the process at once. */
  kill(): Promise<unknown>
}

/** A queue of an engine, with the adapter under test. It is empty. */
export interface EngineQueue {
  /** For `startWorker`. */
  readonly name?: string
  enqueue(data: object, policy?: MessagePolicy): Promise<unknown>
  /** Enqueues a job whose context fields, or whose envelope, are `fields` unchanged. */
  enqueueRaw(data: object, fields: unknown): Promise<unknown>
  /** Starts a worker that runs two jobs at a time. The engine runs a handler that fails again. */
  work(handler: (data: Record<string, unknown>, scope: RequestScope) => unknown): Promise<unknown>
  /** Ends the workers as a program does at its shutdown. */
  closeWorkers(options: { timeoutMs: number; graceMs: number }): Promise<CloseReport>
  /** Frees what is left. Called once for each queue. */
  close(): Promise<unknown>
}

/** An engine for messages, such as a broker that the test has started. */
export interface Engine {
  /**
   * Opens a new queue. Jobs are tried twice, without a delay.
   *
   * @param lostAfterMs When a job is delivered again whose worker was killed, in milliseconds. Only for an engine with
   *   `startWorker`. Default: as the engine has it.
   */
  open(options: QueueOptions, lostAfterMs?: number): Promise<EngineQueue>
  /** Whether a job whose handler failed runs again, and whether the engine counts the attempts. Default: 'counted'. */
  readonly retries?: 'counted' | 'uncounted' | 'none'
  /** Starts a worker of a queue in a process of its own. Omit it if all workers are in one process. */
  startWorker?(queue: EngineQueue): WorkerProcess | Promise<WorkerProcess>
  /** Ends the broker at once, as `kill -9` does. Omit it for an engine without one. */
  kill?(): Promise<unknown>
  /** Starts the broker again, with the same data. */
  restart?(): Promise<unknown>
}

export const tenant: ContextVar<string> = new ContextVar<string>('tenant', { onSpawn: 'keep' })
export const user: ContextVar<string> = new ContextVar<string>('user')
export const undeclared: ContextVar<string> = new ContextVar<string>('undeclared')
export const propagators: readonly Propagator[] = [
  w3cTraceContext(),
  xRequestId(),
  w3cBaggage({ members: { tenant, user } }),
]

/** What a job reads. A value that is not set is null. */
export interface SeenValues {
  readonly tenant: string | null
  readonly user: string | null
  readonly undeclared: string | null
  readonly requestId: string | null
  readonly trace: TraceContext | undefined
  readonly attempt: number | null
}

export function seen(): SeenValues {
  return {
    tenant: tenant.get() ?? null,
    user: user.get() ?? null,
    undeclared: undeclared.get() ?? null,
    requestId: requestId.get() ?? null,
    trace: traceContext.get(),
    attempt: message.get()?.attempt ?? null,
  }
}

/** Runs `enqueue` as a request of ann at acme. Returns the trace of the request. */
export function asRequest(enqueue: () => Promise<unknown>): Promise<TraceContext> {
  return runInScope(async () => {
    tenant.set('acme')
    user.set('ann')
    undeclared.set('stays here')
    requestId.set('r-1')
    const trace = new TraceContext()
    traceContext.set(trace)
    await enqueue()
    return trace
  })
}

/** The first `count` results of a worker's handler. */
export async function results<T>(
  queue: EngineQueue,
  count: number,
  handler: (data: Record<string, unknown>, scope: RequestScope) => T | Promise<T>,
): Promise<T[]> {
  const found: T[] = []
  const all = Promise.withResolvers<void>()
  await queue.work(async (data, scope) => {
    found.push(await handler(data, scope))
    if (found.length >= count) all.resolve()
  })
  await all.promise
  return found
}
