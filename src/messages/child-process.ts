import { checkFunction } from '../options.ts'
import { childEnvironment, type Environment, environmentCarrier } from '../propagators/environment-carrier.ts'
import type { DrainOptions } from '../tasks/drain.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { type EnclosedMessages, enclosedMessages } from './enclosed-messages.ts'
import { type CloseReport, type MessagePolicy, Messages, type MessagesOptions } from './message.ts'

export type { EnclosedMessages } from './enclosed-messages.ts'
export type { CloseReport, MessagePolicy, MessagesOptions, UnfinishedJob } from './message.ts'

/** The context for child processes: in their environment, and in messages between parent and child. */
export interface ChildContext extends EnclosedMessages {
  /** What was not read and not written, counted; and the group that owns the tasks of messages and of `run`. */
  readonly messages: Messages
  /**
   * The environment of a child that is started here, for the option `env` of `spawn`, `fork`, `exec` and `execFile`: a
   * copy of `base` with the context, and without that of the parent's own parent.
   *
   * @param base Default: `process.env`.
   * @throws {TypeError} if the policy is `share`, or names a variable that does not travel.
   */
  env(policy?: MessagePolicy, base?: Environment): Environment
  /**
   * Runs `main` in the child, as a unit with the context in its environment. The result and the failure are those of
   * `main`.
   *
   * @param environment Default: `process.env`.
   */
  run<R>(main: (scope: RequestScope) => R | PromiseLike<R>, environment?: Environment): Promise<R>
  /** Waits for `run`, for running messages and for their tasks, aborts their signals at the limit, and reports the rest. */
  close(options?: DrainOptions): Promise<CloseReport>
}

/** The name of the unit of a process. */
const queue = 'process'

/**
 * Carries the context into child processes by their environment, and by the messages of `fork`. Parent and child call it
 * with the same propagators.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type.
 */
export function childContext(options?: MessagesOptions): ChildContext {
  const messages = new Messages('childContext', options)
  return {
    messages,
    ...enclosedMessages(messages),
    env(policy, base = process.env) {
      const fields = messages.capture(queue, policy)
      const env = childEnvironment(messages.propagator, base)
      // `cluster.fork` and execa merge these variables with `process.env`, which must not restore what is not in the copy.
      for (const name of Object.keys(base)) if (!Object.hasOwn(env, name)) env[name] = undefined
      const carrier = environmentCarrier(env)
      for (const [name, value] of Object.entries(fields)) carrier.set(name, value)
      return env
    },
    async run(main, environment = process.env) {
      checkFunction('run', main)
      return messages.process({ queue, id: String(process.pid), fields: environmentCarrier(environment) }, main)
    },
    close: (drainOptions) => messages.close(drainOptions),
  }
}
