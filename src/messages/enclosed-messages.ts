import { checkFunction } from '../options.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import { openEnvelope, withEnvelope } from './envelope.ts'
import type { MessagePolicy, Messages } from './message.ts'

/** The name of the units of these messages. */
const queue = 'message'

/** Data and a context in one object, for `postMessage`, `process.send` and a pool of threads. */
export interface EnclosedMessages {
  /**
   * A message with the context of the code that calls this, for `postMessage` and `process.send`.
   *
   * @throws {TypeError} if the policy is `share`, or names a variable that does not travel.
   */
  enclose(data: unknown, policy?: MessagePolicy): object
  /**
   * A listener for `message` events, on both sides: for `on('message', …)`, and for `onmessage` and `addEventListener` of a
   * port or a `BroadcastChannel`. It runs `handler` for each message, as a unit of its own; `handle` is what the sender
   * passed to `send` of a child process. A message that was not enclosed has no context of its sender. A failure goes to
   * `onFailure`.
   */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- types the handler's argument
  onMessage<Data>(
    handler: (data: Data, scope: RequestScope, handle: unknown) => unknown,
  ): (message: unknown, handle?: unknown) => void
}

/** The data and the fields of a message that `enclose` returned, or of any other one. */
export function enclosedIn(
  messages: Messages,
  message: unknown,
): { queue: string; fields: Record<string, string> | undefined; data: unknown } {
  const { data, fields, refused } = openEnvelope(message)
  if (refused !== undefined) messages.refuse(queue, refused)
  const isEnclosed = fields !== undefined || refused !== undefined
  return { queue, fields, data: isEnclosed ? (data as { data?: unknown }).data : message }
}

/** Both directions over a channel of messages. */
export function enclosedMessages(messages: Messages): EnclosedMessages {
  return {
    enclose: (data, policy) => withEnvelope({ data }, messages.capture(queue, policy)),
    // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- types the handler's argument
    onMessage<Data>(handler: (data: Data, scope: RequestScope, handle: unknown) => unknown) {
      checkFunction('onMessage', handler)
      return (message, handle) => {
        const { data, fields } = enclosedIn(messages, message instanceof MessageEvent ? message.data : message)
        void messages.acknowledge({ queue, fields }, (scope) => handler(data as Data, scope, handle))
      }
    },
  }
}
