import type { Carrier } from './carrier.ts'
import type { Facts } from './facts.ts'

/** A pool of the kind that calls back: who gives a connection back runs the next one's callback on his stack. */
export class CallbackPool {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(size: number) {
    this.#free = size
  }

  /** Calls back when a connection is free; whoever is called gives it back by `release`. */
  acquire(callback: () => void): void {
    if (this.#free === 0) {
      this.#waiting.push(callback)
      return
    }
    this.#free--
    callback()
  }

  release(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
  }
}

/** A worker that takes one message after the other, each as a unit of its own, for as long as the process lives. */
export class MessageWorker {
  readonly #messages: (() => Promise<void>)[] = []
  #wake = Promise.withResolvers<void>()

  constructor(carrier: Carrier) {
    void this.#work(carrier)
  }

  /** Resolves when the message was handled. */
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

/** Generators that everybody drives: they see their driver's values, and nobody sees what they write. */
export function sharedGenerators(carrier: Carrier): readonly (Generator<Facts, void> | AsyncGenerator<Facts, void>)[] {
  const own = { step: 'the generator/s' }
  const generate = carrier.isolate(function* () {
    carrier.write(own)
    for (;;) yield carrier.read()
  })
  const generateAsync = carrier.isolate(async function* () {
    carrier.write(own)
    for (;;) {
      await Promise.resolve()
      yield carrier.read()
    }
  })
  return [generate(), generateAsync()]
}
