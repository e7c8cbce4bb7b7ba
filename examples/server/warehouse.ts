import { createService, listen, type Order, work } from './service.ts'
import { tenant } from './variables.ts'

const prices: Record<string, number> = { coffee: 8.9, tea: 4.5, cocoa: 6.2 }
const service = await createService('warehouse', { trust: 'loopback' })
const { app, log } = service

app.post<{ Body: Order }>('/reservations', async ({ body: { id, item, quantity } }) => {
  await work(id, 'reserve')
  const price = pricesOfTenant()[item]
  if (price === undefined) throw new Error(`There is no ${item}.`)
  log.info({ order: id }, `${quantity} × ${item} reserved`)
  return { price: Number((price * quantity).toFixed(2)) }
})

app.get('/prices', async ({ id }) => {
  await work(id, 'prices')
  return pricesOfTenant()
})

/** Deep below the handler, and nobody had to hand the tenant down. */
function pricesOfTenant(): Record<string, number> {
  if (tenant.get() !== 'globex') return prices
  return Object.fromEntries(Object.entries(prices).map(([item, price]) => [item, price * 0.9]))
}

await listen(service)
