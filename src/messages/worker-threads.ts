import type { DrainOptions } from '../tasks/drain.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { checkFunction, splitOptions } from '../options.ts'
import { openEnvelope, withEnvelope } from './envelope.ts'
import { type CloseReport, type MessagePolicy, Messages, type MessagesOptions } from './message.ts'
import { policyChecks, type PolicyOption } from './message-fields.ts'

export type { CloseReport, MessagePolicy, MessagesOptions, UnfinishedJob } from './message.ts'

/** A pool of piscina, as far as the context needs it. */
export interface PoolLike {
  readonly options: { readonly atomics?: string | undefined }
  run(task: unknown, options?: object): Promise<unknown>
}

/** The context for messages between threads, and between a process and its children. */
export interface ThreadContext {
  /** What was not read and not written, counted; and the group that owns the tasks of messages. */
  readonly messages: Messages
  /**
   * A message with the context of the code that calls this, for `postMessage` and `process.send`.
   *
   * @throws {TypeError} if the policy is `share`, or names a variable that does not travel.
   */
  enclose(data: unknown, policy?: MessagePolicy): object
  /**
   * A listener for `message` events, on both sides. It runs `handler` for each message, as a unit of its own. A message
   * that was not enclosed has no context of its sender. A failure goes to `onFailure`.
   */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- types the handler's argument
  onMessage<Data>(handler: (data: Data, scope: RequestScope) => unknown): (message: unknown) => void
  /** Runs a task of piscina with the context. Its worker exports what `task` returns. */
  run(pool: PoolLike, data: unknown, options?: { policy?: MessagePolicy; [option: string]: unknown }): Promise<unknown>
  /** The function that a worker of piscina exports. The result and the failure are the handler's. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- types the handler's argument
  task<Data, Result>(
    handler: (data: Data, scope: RequestScope) => Result | PromiseLike<Result>,
  ): (message: unknown) => Promise<Result>
  /** Waits for running messages and their tasks, aborts their signals at the limit, and reports the rest. */
  close(options?: DrainOptions): Promise<CloseReport>
}

/** The name of the unit of a message between threads. */
const queue = 'message'
const warned = new WeakSet<PoolLike>()

/**
 * Carries the context into threads and child processes, and into their answers. Both sides call it with the same
 * propagators.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type.
 */
export function threadContext(options?: MessagesOptions): ThreadContext {
  const messages = new Messages('threadContext', options)

  function received(message: unknown): { fields: Record<string, string> | undefined; data: unknown } {
    const { data, fields, refused } = openEnvelope(message)
    if (refused !== undefined) messages.refuse(queue, refused)
    return { fields, data: fields === undefined && refused === undefined ? message : (data as { data?: unknown }).data }
  }

  function enclose(data: unknown, policy?: MessagePolicy): object {
    return withEnvelope({ data }, messages.capture(queue, policy))
  }

  return {
    messages,
    enclose,
    // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- types the handler's argument
    onMessage<Data>(handler: (data: Data, scope: RequestScope) => unknown) {
      checkFunction('onMessage', handler)
      return (message) => {
        const { fields, data } = received(message)
        void messages.acknowledge({ queue, fields }, (scope) => handler(data as Data, scope))
      }
    },
    async run(pool, data, given) {
      const { own, others: runOptions } = splitOptions<PolicyOption, object>('run', given, policyChecks)
      warnOfAtomics(pool)
      return pool.run(enclose(data, own.policy), runOptions)
    },
    // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- types the handler's argument
    task<Data, Result>(handler: (data: Data, scope: RequestScope) => Result | PromiseLike<Result>) {
      checkFunction('task', handler)
      return (message) => {
        const { fields, data } = received(message)
        return messages.process({ queue, fields }, (scope) => handler(data as Data, scope))
      }
    },
    close: (drainOptions) => messages.close(drainOptions),
  }
}

/** With piscina's `atomics: 'sync'`, its default, an idle worker blocks: what a task has spawned makes no progress. */
function warnOfAtomics(pool: PoolLike): void {
  if (warned.has(pool) || (pool.options.atomics ?? 'sync') !== 'sync') return
  warned.add(pool)
  console.error(
    "logical-context: piscina's option 'atomics' is 'sync': work that a task spawns stops while its worker is idle. " +
      "Set atomics: 'async' or 'disabled' if tasks spawn work.",
  )
}
