import type { DrainOptions } from '../tasks/drain.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { checkArgument, checkFunction, splitOptions } from '../options.ts'
import { enclosedIn, type EnclosedMessages, enclosedMessages } from './enclosed-messages.ts'
import { type CloseReport, type MessagePolicy, Messages, type MessagesOptions } from './message.ts'
import { policyChecks, type PolicyOption } from './message-fields.ts'
import { engineObject } from './received-message.ts'

export type { EnclosedMessages } from './enclosed-messages.ts'
export type { CloseReport, MessagePolicy, MessagesOptions, UnfinishedJob } from './message.ts'

/** A pool of piscina or tinypool, as far as the context needs it. */
export interface PoolLike {
  readonly options: { readonly atomics?: string | undefined; readonly useAtomics?: boolean | undefined }
  run(task: unknown, options?: object): Promise<unknown>
}

/** The context for messages between threads, and between a process and its children. */
export interface ThreadContext extends EnclosedMessages {
  /** What was not read and not written, counted; and the group that owns the tasks of messages. */
  readonly messages: Messages
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

const aPool = engineObject('a pool of piscina', 'run')
const warned = new WeakSet<PoolLike>()

/** Options of a pool's `run`, as far as they are read here. */
interface RunOptions {
  readonly transferList?: readonly unknown[]
}

/** The symbols of `Piscina.move(value)`, which a pool recognizes only as its whole task. */
const moved: unique symbol = Symbol.for('Piscina.transferable') as never
const movedValue: unique symbol = Symbol.for('Piscina.valueOf') as never

/** The options of a task for the queue of its pool, such as a priority. The pool reads them from the task itself. */
const queueOptions: unique symbol = Symbol.for('Piscina.queueOptions') as never

function taskOf(data: unknown, message: object): object {
  const { [queueOptions]: options } = Object(data) as { readonly [queueOptions]?: unknown }
  return options === undefined ? message : { ...message, [queueOptions]: options }
}

function isMovable(data: unknown): data is { readonly [moved]: unknown; readonly [movedValue]: unknown } {
  return typeof data === 'object' && data !== null && moved in data && movedValue in data
}

/**
 * Carries the context into threads, and into their answers. Both sides call it with the same
 * propagators.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type.
 */
export function threadContext(options?: MessagesOptions): ThreadContext {
  const messages = new Messages('threadContext', options)

  const enclosed = enclosedMessages(messages)

  return {
    messages,
    ...enclosed,
    async run(pool, data, given) {
      checkArgument('run', aPool, pool)
      const { own, others: runOptions } = splitOptions<PolicyOption, RunOptions>('run', given, policyChecks)
      warnOfAtomics(pool)
      if (!isMovable(data)) return pool.run(taskOf(data, enclosed.enclose(data, own.policy)), runOptions)
      const { transferList = [] } = runOptions
      return pool.run(enclosed.enclose(data[movedValue], own.policy), {
        ...runOptions,
        transferList: [...transferList, data[moved]],
      })
    },
    // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- types the handler's argument
    task<Data, Result>(handler: (data: Data, scope: RequestScope) => Result | PromiseLike<Result>) {
      checkFunction('task', handler)
      return (message) => {
        const { queue, fields, data } = enclosedIn(messages, message)
        return messages.process({ queue, fields }, (scope) => handler(data as Data, scope))
      }
    },
    close: (drainOptions) => messages.close(drainOptions),
  }
}

/**
 * With piscina's `atomics: 'sync'`, its default, an idle worker blocks: what a task has spawned makes no progress. In
 * tinypool and piscina 4 the option is `useAtomics`.
 */
function warnOfAtomics(pool: PoolLike): void {
  const { atomics = 'sync', useAtomics } = pool.options ?? {}
  if (warned.has(pool) || atomics !== 'sync' || useAtomics === false) return
  warned.add(pool)
  const [option, remedy] =
    useAtomics === undefined
      ? ["piscina's option 'atomics' is 'sync'", "atomics: 'async' or 'disabled'"]
      : ["the pool's option 'useAtomics' is true", 'useAtomics: false']
  console.error(
    `logical-context: ${option}: work that a task spawns stops while its worker is idle. ` +
      `Set ${remedy} if tasks spawn work.`,
  )
}
