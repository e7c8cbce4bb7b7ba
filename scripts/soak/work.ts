import { readFile } from 'node:fs'
import { readFile as readFileAsync } from 'node:fs/promises'
import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setImmediate as turn } from 'node:timers/promises'
import { CallbackPool } from './callback-pool.ts'
import type { Calls } from './calls.ts'
import type { Carrier } from './carrier.ts'
import { acrossSpawn, type Facts, factsOf, type PolicyName, policyNames, type Sender } from './facts.ts'
import type { Ledger } from './ledger.ts'
import { MessageWorker } from './message-worker.ts'
import { sharedGenerators } from './shared-generators.ts'

/** The number of tasks that a task spawns, by its depth. */
const children = [2, 2, 1, 1] as const

/** The request of a unit, and the values that are expected in it now. Tasks that share the unit share this object. */
export interface Place {
  readonly owner: string
  readonly sender: Sender
  facts: Facts
}

/** The work of the requests: trees of tasks under all policies, with all kinds of waits of a server. */
export class Work {
  readonly #carrier: Carrier
  readonly #calls: Calls
  readonly #ledger: Ledger
  readonly #pool = new CallbackPool(3)
  readonly #worker: MessageWorker
  readonly #generators: ReturnType<typeof sharedGenerators>
  #waits = 0
  #spawns = 0
  #writes = 0

  constructor(carrier: Carrier, calls: Calls, ledger: Ledger) {
    this.#carrier = carrier
    this.#calls = calls
    this.#ledger = ledger
    this.#worker = new MessageWorker(carrier)
    this.#generators = sharedGenerators(carrier)
  }

  check(where: string, { owner, facts }: Place): void {
    this.#ledger.check(owner, where, this.#carrier.read(), facts)
  }

  /** The work of a handler: a call, a wait, tasks that it awaits and one that it does not await. */
  async handle(place: Place): Promise<void> {
    this.check('handler', place)
    await this.#call(place)
    this.check('after a call', place)
    const policy = (['inherit', 'isolate', 'only'] as const)[this.#spawns % 3] ?? 'inherit'
    // It outlives the reply, so it needs its own cell.
    void this.#spawn(place, policy, children.length - 1)
    await this.#tree(place, 0)
  }

  /** Waits, spawns tasks that do the same, and checks the values at each step. */
  async #tree(place: Place, depth: number): Promise<void> {
    await this.#wait(place)
    this.check(`depth ${depth}, after a wait`, place)
    this.#write(place)
    const count = children[depth] ?? 0
    if (count === 0) return
    const tasks = Array.from({ length: count }, () => {
      const policy = policyNames[this.#spawns % policyNames.length] ?? 'inherit'
      return this.#spawn(place, policy, depth + 1)
    })
    // A write after the spawn: only a sharing task sees it.
    this.#write(place)
    await Promise.all(tasks)
    this.check(`depth ${depth}, after its tasks`, place)
  }

  #spawn(place: Place, policy: PolicyName, depth: number): Promise<void> {
    this.#spawns++
    this.#ledger.spawned()
    const own = policy === 'share' ? place : { ...place, facts: acrossSpawn(place.facts, policy) }
    const work = async () => {
      this.check(`depth ${depth}, ${policy}`, own)
      await this.#tree(own, depth)
    }
    return this.#carrier.spawn(() => this.#ledger.task(work), policy)
  }

  /** An anonymous request writes nothing, so that it sees each value that another request left. */
  #write(place: Place): void {
    if (place.sender === 'anonymous') return
    const step = `${place.owner}/step ${this.#writes++}`
    place.facts = { ...place.facts, step }
    this.#carrier.write({ step })
  }

  async #call({ owner, facts: { tenant, user } }: Place): Promise<void> {
    this.#ledger.check(owner, 'values of a call', await this.#calls.call(), { tenant, user })
  }

  async #wait(place: Place): Promise<void> {
    await this.#kinds[this.#waits++ % this.#kinds.length]?.(place)
  }

  readonly #kinds: readonly ((place: Place) => Promise<unknown>)[] = [
    () => turn(),
    (place) => this.#called(place, 'nextTick', (done) => process.nextTick(done)),
    (place) => this.#called(place, 'queueMicrotask', (done) => queueMicrotask(done)),
    (place) => this.#called(place, 'setTimeout', (done) => setTimeout(done, 0)),
    (place) => this.#called(place, 'setImmediate', (done) => setImmediate(done)),
    (place) => this.#called(place, 'readFile', (done) => readFile(import.meta.filename, done)),
    () => readFileAsync(import.meta.filename),
    (place) => this.#query(place),
    (place) => this.#query(place),
    (place) => this.#stream(place),
    (place) => this.#generate(place),
    (place) => this.#message(place),
    (place) => this.#block(place),
  ]

  /** Waits for a callback, and checks the values in it. */
  #called(place: Place, where: string, start: (done: () => void) => void): Promise<void> {
    return new Promise((resolve) =>
      start(() => {
        this.check(where, place)
        resolve()
      }),
    )
  }

  /** A pool calls its callbacks on the stack of another request, so the callback is bound. */
  #query(place: Place): Promise<void> {
    return new Promise((resolve) => {
      const callback = this.#carrier.bind(() => {
        this.check('callback of a pool', place)
        setImmediate(() => {
          this.check('query', place)
          this.#pool.release()
          resolve()
        })
      })
      this.#pool.acquire(callback)
    })
  }

  /** A block sees its own step. Its writes are not visible outside. */
  async #block(place: Place): Promise<void> {
    const step = `${place.owner}/block ${this.#writes++}`
    const inside = { ...place, facts: { ...place.facts, step } }
    await this.#carrier.block(step, async () => {
      this.check('block', inside)
      await turn()
      this.#write(inside)
      this.check('block, after a wait', inside)
    })
    this.check('after a block', place)
  }

  async #stream(place: Place): Promise<void> {
    const source = async function* (this: Work) {
      for (let part = 0; part < 2; part++) {
        await turn()
        this.check('source of a stream', place)
        yield 'part'
      }
    }
    const sink = new PassThrough().on('data', () => this.check('data of a stream', place))
    await pipeline(Readable.from(source.call(this)), sink)
  }

  /** A generator has its own step. Its other values are those of its driver. */
  async #generate({ owner, facts }: Place): Promise<void> {
    for (const generator of this.#generators) {
      const { value } = await generator.next()
      this.#ledger.check(owner, 'generator', { ...value, step: undefined }, { ...facts, step: undefined })
    }
  }

  /** The worker's unit has no values of the request. Its writes stay in it, and a task can outlive it. */
  #message({ owner, sender }: Place): Promise<void> {
    return this.#worker.send(async () => {
      const place: Place = { owner: `${owner}/message`, sender, facts: {} }
      this.check('message', place)
      place.facts = factsOf(place.owner, sender)
      this.#carrier.write(place.facts)
      void this.#spawn(place, 'inherit', children.length)
      this.#write(place)
      await turn()
      this.check('message, after a wait', place)
    })
  }
}
