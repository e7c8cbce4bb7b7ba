import { spawn, type Task } from 'logical-context'
import { openJobs } from './jobs.ts'
import { createService, type Order, post, work } from './service.ts'
import { shopFetch, tenant } from './variables.ts'

const [, , warehouse = ''] = process.argv
const jobs = openJobs()
// Only the gateway connects over loopback, so its tenant and user are accepted.
const { app, log, listen } = await createService('orders', { trust: 'loopback' })

app.post<{ Body: Order }>('/orders', async ({ body: order }) => {
  const reservation = await shopFetch(`${warehouse}/reservations`, post(order))
  if (!reservation.ok) return reservation
  // The receipt must be sent, also if this process ends. So it is a job. It sees what a task would see.
  log.info({ order: order.id, job: await (await jobs).send('send-receipt', order) }, 'order accepted')

  // All tasks run, also if the client disconnected meanwhile. This one is a part of the request that no code awaits.
  spawn(() => log.info({ order: order.id }, 'order counted'), { name: 'count-order', policy: 'share' })
  // The index belongs to the tenant, so the task sees the tenant only.
  spawn((task) => logged(task, order), { name: 'reindex', policy: { only: [tenant] } })
  // This work is independent of the request: its own trace, linked to the request's, and the variables that every task keeps.
  const refresh = async () => (await shopFetch(`${warehouse}/prices`)).json()
  spawn((task) => logged(task, order, refresh), { name: 'refresh-price-cache', policy: 'isolate' })

  return reservation
})

async function logged({ name, policy }: Task, order: Order, andThen?: () => Promise<unknown>): Promise<void> {
  const words = typeof policy === 'string' ? policy : `only ${policy.only?.map((variable) => variable.name).join(', ')}`
  log.info({ order: order.id, policy: words }, 'task begins')
  await work(order.id, name)
  await andThen?.()
  log.info({ order: order.id }, 'task ends')
}

app.addHook('onClose', async () => (await jobs).close())
await listen()
