import type { Parts } from './parts.ts'

/** What a generator is sent at each of its steps. */
export interface Orders {
  /** Called when the body goes on. */
  begin(): void
  /** For an async body: what it awaits before it acts. */
  wait(): Promise<unknown>
  act(): void
}

/** A generator whose body does what it is sent. */
export class ObedientGenerator {
  readonly #generator: { next(orders: Orders): IteratorResult<unknown> | Promise<IteratorResult<unknown>> }

  constructor(kind: 'sync' | 'async', isolateGenerator: Parts['isolateGenerator']) {
    this.#generator = isolateGenerator<undefined, [], Body>(kind === 'sync' ? syncBody : asyncBody).call(undefined)
    // The first step leads to the first yield, where orders arrive.
    void this.#generator.next(nothing)
  }

  /** For an async generator a promise. */
  step(orders: Orders): unknown {
    return this.#generator.next(orders)
  }
}

type Body = Generator<void, never, Orders> | AsyncGenerator<void, never, Orders>

const nothing: Orders = { begin() {}, wait: () => Promise.resolve(), act() {} }

function* syncBody(): Generator<void, never, Orders> {
  for (;;) {
    const { begin, act } = yield
    begin()
    act()
  }
}

async function* asyncBody(): AsyncGenerator<void, never, Orders> {
  for (;;) {
    const { begin, wait, act } = yield
    begin()
    await wait()
    act()
  }
}
