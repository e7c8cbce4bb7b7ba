import { createService, type Order, post } from './service.ts'
import { shopFetch, tenant, user } from './variables.ts'

const [, , orders = ''] = process.argv
// It names nobody in `trust`: of the baggage that clients send, nothing is taken.
const { app, listen } = await createService('gateway')

app.addHook('onRequest', async ({ headers }) => {
  // A real edge has them from a token. From here on, all that works for this request can ask for them.
  tenant.set(String(headers['x-tenant'] ?? 'acme'))
  user.set(String(headers['x-user'] ?? 'guest'))
})

app.post<{ Body: Order }>('/orders', async ({ body: order, scope }, reply) => {
  // Tenant, user, request id and trace go along by themselves. The signal: a client that hangs up ends this call.
  const answer = await shopFetch(`${orders}/orders`, { ...post(order), signal: scope.signal })
  return reply.code(answer.status).send(await answer.json())
})

await listen()
