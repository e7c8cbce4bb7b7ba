// The server that `shutdown-round.ts` starts and stops: it accepts orders, and finishes them in the background.
import { writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import { spawn } from 'logical-context'
import logicalContext, { type CloseReport } from 'logical-context/middleware/fastify'
import { requestId } from 'logical-context/variables'

const { drainTimeoutMs, taskMs, unowned } = parseArgs({
  options: { drainTimeoutMs: { type: 'string' }, taskMs: { type: 'string' }, unowned: { type: 'boolean' } },
}).values

/** A synchronous write: it succeeds also if the process ends at once. */
const print = (...words: unknown[]) => writeSync(1, `${words.join(' ')}\n`)
const work = () => delay(Math.random() * Number(taskMs))
/** Longer than a close takes that waits for connections only. */
const longWork = () => delay(1500 + Math.random() * Number(taskMs))
/** The control: no group owns the work, so no close waits for it. */
const start = unowned ? (fn: () => Promise<void>) => void fn() : spawn

const app = Fastify()
let report: CloseReport | undefined
await app.register(logicalContext, {
  drainTimeoutMs: Number(drainTimeoutMs),
  onDrained: (drained) => {
    report = drained
  },
})

app.post('/orders', async (_request, reply) => {
  const order = requestId.get()
  await work()
  start(
    async () => {
      await longWork()
      start(
        async () => {
          await work()
          print('finished', order)
        },
        { name: 'send-receipt' },
      )
    },
    { name: 'pack' },
  )
  return reply.code(202).send()
})

closeWithGrace({ delay: Number(drainTimeoutMs) + 2000 }, async () => {
  await app.close()
  const unfinished = report?.unfinished ?? []
  for (const { name, context } of unfinished) print('unfinished', context.get(requestId), name)
  if (unfinished.length > 0) throw new Error(`${unfinished.length} tasks had not finished`)
})

print('listening', await app.listen({ host: '127.0.0.1', port: 0 }))
