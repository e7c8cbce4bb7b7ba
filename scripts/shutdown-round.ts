import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export interface RoundOptions {
  /** The server's `drainTimeoutMs`. */
  drainTimeoutMs: number
  /** What each of the three steps of an order takes at most, in milliseconds. */
  taskMs: number
  /** SIGTERM comes when so many orders are acknowledged: a count, and no time, for machines that are busy. */
  termAfter: number
}

/** What became of the orders that were sent before and while the server closed. */
export interface Round {
  /** Orders for which a client has the server's word that they are taken. */
  acknowledged: number
  /** Of these, the ones whose last task has ended. */
  finished: number
  /** Of these, the ones with a task that the server's report names as unfinished at its limit. */
  reported: number
  /** Of these, the ones of which neither is true. */
  lost: number
  /** Requests that were refused with a 503 or a broken connection. */
  refused: number
  /** From SIGTERM to the end of the process. */
  closeMs: number
  exitCode: number | null
}

const clients = 50
const server = fileURLToPath(new URL('shutdown-server.ts', import.meta.url))

/** Starts a server, puts it under load, sends it SIGTERM and counts what it has kept of its word. */
export async function runRound({ drainTimeoutMs, taskMs, termAfter }: RoundOptions): Promise<Round> {
  const args = [`--drainTimeoutMs=${drainTimeoutMs}`, `--taskMs=${taskMs}`]
  const child = spawn(process.execPath, ['--conditions=logical-context-source', server, ...args], {
    stdio: ['ignore', 'pipe', process.env['DEBUG'] ? 'inherit' : 'ignore'],
  })
  try {
    const exit = once(child, 'exit')
    const listening = Promise.withResolvers<string>()
    const said = { finished: new Set<string>(), unfinished: new Set<string>() }
    const lines = createInterface({ input: child.stdout }).on('line', (line) => {
      const [what, subject = ''] = line.split(' ')
      if (what === 'listening') listening.resolve(subject)
      else if (what === 'finished' || what === 'unfinished') said[what].add(subject)
    })
    const heard = once(lines, 'close')
    void exit.then(([code]) => listening.reject(new Error(`The server has not started, exit code ${code}.`)))

    const load = new Load(await listening.promise)
    while (load.acknowledged.length < termAfter && child.exitCode === null) await delay(1)
    const startedAt = performance.now()
    child.kill('SIGTERM')
    const [exitCode] = (await exit) as [number | null]
    const closeMs = performance.now() - startedAt
    await Promise.all([heard, load.ended])

    const { acknowledged, refused } = load
    const finished = acknowledged.filter((order) => said.finished.has(order)).length
    const reported = acknowledged.filter((order) => said.unfinished.has(order)).length
    const kept = acknowledged.filter((order) => said.finished.has(order) || said.unfinished.has(order)).length
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

/** Clients that send one order after the other until nobody listens any more. */
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

  /** The status of the answer, or the code of an error. */
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
