// The server that `shutdown-round.ts` starts and stops: it takes orders, and finishes them in the background.
import { writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import { spawn } from 'logical-context'
import logicalContext, { type CloseReport } from 'logical-context/middleware/fastify'
import { requestId } from 'logical-context/variables'

const options = { drainTimeoutMs: { type: 'string' }, taskMs: { type: 'string' } } as const
const { drainTimeoutMs, taskMs } = parseArgs({ options }).values

/** A line that is written when the call returns, whatever becomes of the process. */
const say = (...words: unknown[]) => writeSync(1, `${words.join(' ')}\n`)
const work = () => delay(Math.random() * Number(taskMs))

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
  spawn(
    async () => {
      await work()
      spawn(
        async () => {
          await work()
          say('finished', order)
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
  for (const { name, context } of unfinished) say('unfinished', context.get(requestId), name)
  if (unfinished.length > 0) throw new Error(`${unfinished.length} tasks had not finished`)
})

say('listening', await app.listen({ host: '127.0.0.1', port: 0 }))
