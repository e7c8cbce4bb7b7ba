import { createService, type Order, post } from './service.ts'
import { shopFetch, tenant, user } from './variables.ts'

const addresses = process.argv.slice(2, 6)
// It has no `trust`, so the baggage of clients is refused.
const { app, log, listen } = await createService('gateway', {}, addresses)

app.addHook('onRequest', async ({ headers }) => {
  // A real gateway reads them from a token. From here on, all code of this request can read them.
  tenant.set(String(headers['x-tenant'] ?? 'acme'))
  user.set(String(headers['x-user'] ?? 'guest'))
  log.info('the caller is known')
})

// The client adds tenant, user, request id and trace. The signal ends the call if the client disconnects.
app.post<{ Body: Order }>('/orders', ({ body: order, requestScope: { signal } }) =>
  shopFetch(`${addresses[0]}/orders`, { ...post(order), signal }),
)
await listen()
