import { spawn, type Task } from 'logical-context'
import { createService, type Order, post, work } from './service.ts'
import { shopFetch, tenant } from './variables.ts'

const [, , warehouse = ''] = process.argv
// Over loopback comes only the gateway, which knows who calls: its tenant and user are taken.
const { app, log, listen } = await createService('orders', { trust: 'loopback' })

app.post<{ Body: Order }>('/orders', async ({ body: order }) => {
  const reservation = await shopFetch(`${warehouse}/reservations`, post(order))
  if (!reservation.ok) return reservation
  log.info({ order: order.id }, 'order accepted')

  // The order stands, and so does its work, even if the client has hung up meanwhile.
  // Part of the request itself, only that nobody waits for it.
  spawn(() => log.info({ order: order.id }, 'order counted'), { name: 'count-order', policy: 'share' })
  // The receipt belongs to the request: the task sees what the request sees.
  spawn((task) => logged(task, order), { name: 'send-receipt' })
  // The index is the tenant's, and the user no business of it.
  spawn((task) => logged(task, order), { name: 'reindex', policy: { only: [tenant] } })
  // Nobody asked for this: it gets a trace of its own, linked to the request's, and what every task keeps.
  const refresh = async () => (await shopFetch(`${warehouse}/prices`)).json()
  spawn((task) => logged(task, order, refresh), { name: 'refresh-price-cache', policy: 'isolate' })

  return reservation
})

async function logged({ name, policy }: Task, order: Order, andThen?: () => Promise<unknown>): Promise<void> {
  const words = typeof policy === 'string' ? policy : `only ${policy.only.map((variable) => variable.name).join(', ')}`
  log.info({ order: order.id, policy: words }, 'task begins')
  await work(order.id, name)
  await andThen?.()
  log.info({ order: order.id }, 'task ends')
}

await listen()
