import { createService, type Order, post } from './service.ts'
import { shopFetch, tenant, user } from './variables.ts'

const [, , orders = ''] = process.argv
// It names nobody in `trust`: of the baggage that clients send, nothing is taken.
const { app, log, listen } = await createService('gateway')

app.addHook('onRequest', async ({ headers }) => {
  // A real edge has them from a token. From here on, all that works for this request can ask for them.
  tenant.set(String(headers['x-tenant'] ?? 'acme'))
  user.set(String(headers['x-user'] ?? 'guest'))
  log.info('the caller is known')
})

// Tenant, user, request id and trace go along by themselves. The signal: a client that hangs up ends this call.
app.post<{ Body: Order }>('/orders', ({ body: order, requestScope: { signal } }) =>
  shopFetch(`${orders}/orders`, { ...post(order), signal }),
)

await listen()
