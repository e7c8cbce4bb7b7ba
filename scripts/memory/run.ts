// The part of `npm run memory` on one runtime: a server, and its heap after the first requests and after all.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import { ContextVar, spawn } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { heapInUse } from '../../test/flow/memory.ts'
import { endOfReply, type Order } from './order.ts'

/** The sizes of the heap in bytes, after the first requests and after all. */
export interface Run {
  first: number
  last: number
  /** The number of ended tasks: one for each request. */
  tasks: number
  seconds: number
}

const [first = 0, all = 0] = process.argv.slice(2).map(Number)
/** The control: the scopes of all requests are kept. */
const keepsAll = process.argv.includes('--keep')

const order = new ContextVar<object>('order')
const kept: unknown[] = []
const app = Fastify()
await app.register(logicalContext)
app.get<{ Params: { id: string } }>('/orders/:id', async ({ params, requestScope: scope }) => {
  order.set({ ...params, text: `order ${params.id} `.repeat(10) })
  spawn(
    async () => {
      await turn()
      order.set({ id: params.id })
    },
    { name: 'pack' },
  )
  await turn()
  if (keepsAll) kept.push(scope)
  return endOfReply
})

const startedAt = performance.now()
await app.listen({ host: '127.0.0.1', port: 0 })
const { port } = app.server.address() as AddressInfo
const load = fork(fileURLToPath(new URL('pipelines.ts', import.meta.url)), { stdio: 'inherit' })
const run: Run = { first: await heapAfter(first), last: await heapAfter(all - first), tasks: 0, seconds: 0 }
load.kill()
await app.close()
run.tasks = app.requestScopes.group.counters.ended
run.seconds = (performance.now() - startedAt) / 1000
process.stdout.write(JSON.stringify(run))

async function heapAfter(requests: number): Promise<number> {
  load.send({ port, requests } satisfies Order)
  const [answer] = (await Promise.race([once(load, 'message'), once(load, 'exit')])) as [unknown]
  if (answer !== requests) throw new Error('The load ended early.')
  return heapInUse()
}
