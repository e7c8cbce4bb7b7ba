import { Agent, type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import type { Sender } from './facts.ts'
import type { Ledger } from './ledger.ts'

export interface LoadOptions {
  /** The number of all requests. */
  requests: number
  /** The number of open connections. Each sends one request after the other. */
  connections: number
}

/** A request without an answer by then is lost. */
const answerLimitMs = 20_000

const kinds = [
  { method: 'GET', path: '/text' },
  { method: 'POST', path: '/body' },
  { method: 'GET', path: '/stream' },
  { method: 'POST', path: '/body' },
] as const

const senders: readonly Sender[] = ['anonymous', 'known', 'plain', 'known']

/** Sends the requests and compares each answer with its request. */
export async function load(url: string, ledger: Ledger, { requests, connections }: LoadOptions): Promise<void> {
  const agents = Array.from({ length: connections }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
  let sent = 0
  await Promise.all(
    agents.map(async (agent) => {
      for (let number = sent++; number < requests; number = sent++) {
        const owner = `r${number}`
        ledger.asked()
        try {
          const body = await send(url, number, owner, agent)
          ledger.answered(owner, body, owner)
        } catch (error) {
          ledger.unanswered(owner, error)
        }
      }
      agent.destroy()
    }),
  )
}

async function send(url: string, number: number, owner: string, agent: Agent): Promise<string> {
  const { method, path } = kinds[number % kinds.length] ?? kinds[0]
  const sender = senders[Math.floor(number / kinds.length) % senders.length] ?? 'known'
  const headers = { 'x-request-id': owner, 'x-sender': sender, 'content-type': 'application/json' }
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const call = request(url + path, { method, headers, agent }, resolve).on('error', reject)
  call.setTimeout(answerLimitMs, () => call.destroy(new Error(`no answer within ${answerLimitMs} ms`)))
  if (method === 'POST') {
    // In pieces, which arrive as separate chunks.
    for (const piece of ['{"own', `er": "${owner.slice(0, 2)}`]) {
      call.write(piece)
      await turn()
    }
    call.end(`${owner.slice(2)}"}`)
  } else call.end()
  return text(await promise)
}
