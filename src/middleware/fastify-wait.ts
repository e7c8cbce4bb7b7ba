import type { FastifyReply } from 'fastify'
import type { RequestScope } from '../tasks/request-scope.ts'
import { isClosed } from './events.ts'

/** Holds off the seal until a thenable has settled and what waits for it has begun; gives a promise for the same. */
export function holdUntilSettled(scope: RequestScope, result: PromiseLike<unknown>): Promise<unknown> {
  // A foreign thenable is asked once: it may do its work anew at each `then`, as a query builder does.
  const promise = result instanceof Promise ? result : Promise.resolve(result)
  scope.retain()
  // Smaller than a closure, and a request may be in flight for long.
  const settled = releaseBehind.bind(scope)
  promise.then(settled, settled)
  return promise
}

/** After the end of the reply the seal waits for this alone: Fastify logs, or calls its next hook, behind it. */
function releaseBehind(this: RequestScope): void {
  if (this.closed) setImmediate(() => this.release())
  else this.release()
}

/** The wait for a hook that has returned and has not called back. */
export class CallbackWait {
  readonly #scope: RequestScope
  #over = false
  #holds = false
  #stopListening: (() => void) | undefined

  constructor(scope: RequestScope) {
    this.#scope = scope
  }

  /** Holds off the seal until the end of the wait. */
  hold(): void {
    if (this.#over) return
    this.#holds = true
    this.#scope.retain()
  }

  /** The same from a hang-up on. A hook may reply, and then calls nothing back. */
  holdIfLost(reply: FastifyReply): void {
    if (this.#over) return
    const response = reply.raw
    if (isClosed(response)) {
      this.#lost(reply)
      return
    }
    const lost = () => this.#lost(reply)
    response.on('close', lost)
    this.#stopListening = () => response.off('close', lost)
  }

  readonly end = (): void => {
    if (this.#over) return
    this.#over = true
    this.#stopListening?.()
    if (this.#holds) releaseBehind.call(this.#scope)
  }

  #lost(reply: FastifyReply): void {
    const response = reply.raw
    if (this.#over || reply.sent || response.headersSent) return
    this.hold()
    // Of a stream neither of the others is called: nobody reads it for a client that has gone.
    response.once('pipe', this.end)
    for (const name of ['write', 'end'] as const) {
      const method = response[name] as (...args: unknown[]) => unknown
      const ending = (...args: unknown[]) => {
        this.end()
        return method.apply(response, args)
      }
      Object.assign(response, { [name]: ending })
    }
  }
}
