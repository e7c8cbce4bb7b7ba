import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export interface RoundOptions {
  /** The server's `drainTimeoutMs`. */
  drainTimeoutMs: number
  /** The random part of the time of each of the three steps of an order, in milliseconds. */
  taskMs: number
  /** SIGTERM is sent when this number of orders is acknowledged. A count, not a time, because a machine can be busy. */
  termAfter: number
  /** The control: the work of an order is in tasks that no group owns. Default: false. */
  unowned?: boolean
}

/** The orders that were sent before and during the close of a server. */
export interface Round {
  /** Orders that the server accepted with a 202. */
  acknowledged: number
  /** The accepted orders whose last task ended. */
  finished: number
  /** The accepted orders with a task that the server's report names as unfinished. */
  reported: number
  /** The accepted orders that are neither finished nor reported. */
  lost: number
  /** Requests that were refused with a 503 or a broken connection. */
  refused: number
  /** From SIGTERM to the end of the process. */
  closeMs: number
  exitCode: number | null
}

const clients = 50
const server = fileURLToPath(new URL('shutdown-server.ts', import.meta.url))

/** Starts a server under load, sends SIGTERM, and counts the orders by their end. */
export async function runRound({ drainTimeoutMs, taskMs, termAfter, unowned }: RoundOptions): Promise<Round> {
  const args = [`--drainTimeoutMs=${drainTimeoutMs}`, `--taskMs=${taskMs}`, ...(unowned ? ['--unowned'] : [])]
  const child = spawn(process.execPath, ['--conditions=logical-context-source', server, ...args], {
    stdio: ['ignore', 'pipe', process.env['DEBUG'] ? 'inherit' : 'ignore'],
  })
  try {
    const exit = once(child, 'exit')
    const listening = Promise.withResolvers<string>()
    const printed = { finished: new Set<string>(), unfinished: new Set<string>() }
    const lines = createInterface({ input: child.stdout }).on('line', (line) => {
      const [what, subject = ''] = line.split(' ')
      if (what === 'listening') listening.resolve(subject)
      else if (what === 'finished' || what === 'unfinished') printed[what].add(subject)
    })
    const readAll = once(lines, 'close')
    void exit.then(([code]) => listening.reject(new Error(`The server did not start, exit code ${code}.`)))

    const load = new Load(await listening.promise)
    while (load.acknowledged.length < termAfter && child.exitCode === null) await delay(1)
    const startedAt = performance.now()
    child.kill('SIGTERM')
    const [exitCode] = (await exit) as [number | null]
    const closeMs = performance.now() - startedAt
    await Promise.all([readAll, load.ended])

    const { acknowledged, refused } = load
    const finished = acknowledged.filter((order) => printed.finished.has(order)).length
    const reported = acknowledged.filter((order) => printed.unfinished.has(order)).length
    const kept = acknowledged.filter((order) => printed.finished.has(order) || printed.unfinished.has(order)).length
    return {
      acknowledged: acknowledged.length,
      finished,
      reported,
      lost: acknowledged.length - kept,
      refused,
      closeMs,
      exitCode,
    }
  } finally {
    child.kill('SIGKILL')
  }
}

/** Clients that send one order after the other until the server refuses connections. */
class Load {
  readonly acknowledged: string[] = []
  refused = 0
  readonly ended: Promise<unknown>
  readonly #url: string
  readonly #agent = new Agent({ keepAlive: true })

  constructor(url: string) {
    this.#url = `${url}/orders`
    this.ended = Promise.all(Array.from({ length: clients }, (_, client) => this.#sendOrders(client)))
  }

  async #sendOrders(client: number): Promise<void> {
    for (let count = 0; ; count++) {
      const order = `${client}-${count}`
      const outcome = await this.#send(order)
      if (outcome === 'ECONNREFUSED') break
      if (outcome === 202) this.acknowledged.push(order)
      else this.refused++
    }
  }

  /** Resolves with the status of the answer, or with the code of an error. */
  #send(order: string): Promise<number | string | undefined> {
    return new Promise((resolve) => {
      const headers = { 'x-request-id': order, 'content-length': 0 }
      request(this.#url, { method: 'POST', agent: this.#agent, headers })
        .on('response', (response) => response.resume().on('close', () => resolve(response.statusCode)))
        .on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
        .end()
    })
  }
}
