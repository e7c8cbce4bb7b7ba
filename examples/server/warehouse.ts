import { createService, type Order, work } from './service.ts'
import { tenant } from './variables.ts'

const prices: Readonly<Record<string, number>> = { coffee: 890, tea: 450, cocoa: 620 }
const { app, log, listen } = await createService('warehouse', { trust: 'loopback' })

app.post<{ Body: Order }>('/reservations', async ({ body: { id, item, quantity } }) => {
  await work(id, 'reserve')
  // Slow enough for a client to disconnect, also on a busy machine.
  if (item === 'cocoa') await work(id, 'fetch')
  const price = prices[item]
  if (price === undefined) throw new Error(`There is no ${item}.`)
  log.info({ order: id }, 'reserved')
  return { cents: price * quantity, for: tenant.get() }
})

app.get('/prices', async ({ id }) => {
  await work(id, 'prices')
  return prices
})
await listen()
