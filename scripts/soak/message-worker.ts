import type { Carrier } from './carrier.ts'

/** A worker that handles one message after the other, each in its own unit, as long as the process lives. */
export class MessageWorker {
  readonly #messages: (() => Promise<void>)[] = []
  #wake = Promise.withResolvers<void>()

  constructor(carrier: Carrier) {
    void this.#work(carrier)
  }

  /** Resolves after the message was handled. */
  send(handle: () => Promise<void>): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#messages.push(() => handle().then(resolve, reject))
    this.#wake.resolve()
    return promise
  }

  async #work(carrier: Carrier): Promise<void> {
    for (;;) {
      await this.#wake.promise
      this.#wake = Promise.withResolvers<void>()
      for (let message = this.#messages.shift(); message !== undefined; message = this.#messages.shift()) {
        await carrier.open(message)
      }
    }
  }
}
