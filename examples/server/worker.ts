import { createServer } from 'node:http'
import { inspectorHandler } from 'logical-context/inspector'
import { openJobs } from './jobs.ts'
import { createProcess, type Order, work } from './service.ts'
import { tenant, user } from './variables.ts'

const { log, ready } = await createProcess('worker')
const jobs = await openJobs()
// Each attempt has the tenant, the user and the trace of its request, and a span of its own.
await jobs.work<Order>('send-receipt', { localConcurrency: 3, pollingIntervalSeconds: 0.5 }, async (job) => {
  const { id, jams } = job.data
  log.info({ order: id }, 'job begins')
  // In the demo, the printer is jammed until this process is killed.
  await (jams && job.retryCount === 0 ? new Promise(() => {}) : work(id, 'send-receipt'))
  log.info({ order: id }, 'job ends')
})
const page = createServer(inspectorHandler({ service: 'worker', fields: { tenant, user } }))
page.listen(0, '127.0.0.1', () => ready(page, () => jobs.close({ timeoutMs: 8000 })))
