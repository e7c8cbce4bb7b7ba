import { createService, listen, type Order } from './service.ts'
import { shopFetch, tenant, user } from './variables.ts'

const [, , orders = ''] = process.argv
// No `trust`: whatever baggage a client sends, nothing of it is taken.
const service = await createService('gateway')

service.app.addHook('onRequest', async ({ headers }, reply) => {
  // A real edge would read them in a token.
  const { 'x-tenant': forTenant, 'x-user': byUser } = headers
  if (typeof forTenant !== 'string' || typeof byUser !== 'string') {
    return reply.code(401).send({ error: 'Send x-tenant and x-user.' })
  }
  tenant.set(forTenant)
  user.set(byUser)
})

service.app.post<{ Body: Order }>('/orders', async ({ body, scope }, reply) => {
  // Tenant, user, request id and trace go along by themselves; when our client hangs up, so do we.
  const answer = await shopFetch(`${orders}/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: scope.signal,
  })
  return reply.code(answer.status).send(await answer.json())
})

await listen(service)
