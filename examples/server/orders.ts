import { spawn, type Task } from 'logical-context'
import { createService, listen, type Order, work } from './service.ts'
import { shopFetch, tenant, user } from './variables.ts'

const [, , warehouse = ''] = process.argv
// Only the gateway reaches this service, over loopback: what it says of tenant and user is true.
const service = await createService('orders', { trust: 'loopback' })
const { app, log } = service

app.post<{ Body: Order }>('/orders', async ({ body: order }, reply) => {
  const reservation = await shopFetch(`${warehouse}/reservations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(order),
  })
  if (!reservation.ok) return reply.code(502).send({ error: `The warehouse has no ${order.item}.` })
  const { price } = (await reservation.json()) as { price: number }

  // From here on the order stands, and so does its work, though the client may have hung up.
  // The receipt is the request's work: it sees what the request sees.
  spawn((task) => run(task, order), { name: 'send-receipt' })
  // The index is the tenant's. It has no business with the user.
  spawn((task) => run(task, order), { name: 'reindex', policy: { only: [tenant] } })
  // Nobody asked for this: a trace of its own, linked to the request's, and only what tasks always keep.
  spawn((task) => run(task, order), { name: 'refresh-price-cache', policy: 'isolate' })

  return reply.code(201).send({ order: order.id, for: user.get(), price })
})

async function run({ name, policy }: Task, order: Order): Promise<void> {
  log.info({ order: order.id, policy }, 'task started')
  await work(order.id, name)
  if (name === 'refresh-price-cache') await shopFetch(`${warehouse}/prices`)
  log.info({ order: order.id }, 'task done')
}

await listen(service)
