const users = ['ada', 'bob', 'cleo', 'dan', 'eve', 'fay', 'gus', 'hal', 'ivy', 'joe', 'kim', 'lou']
const oddHeaders: Readonly<Record<string, Record<string, string>>> = {
  fay: { traceparent: '00-not-a-trace-01' },
  hal: { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' },
  joe: { baggage: 'tenant=mallory,user=mallory' },
}

/** The dozen requests of the demo, and so what each log line about one of them must say. */
export const requests = users.map((user, i) => {
  const id = `order-${String(i + 1).padStart(2, '0')}`
  const tenant = ['acme', 'globex', 'initech'][i % 3] ?? ''
  const item = user === 'dan' ? 'nectar' : ['coffee', 'tea', 'cocoa'][(i >> 1) % 3]
  const order = { id, item, quantity: 1 + ((i * 7) % 5) }
  return { id, tenant, user, order, odd: oddHeaders[user], hangsUp: i % 5 === 1, connection: new AbortController() }
})

/** Sends an order, and says what came of it. */
export async function send(origin: string, request: (typeof requests)[number]): Promise<string> {
  const { id, tenant, user, order, odd, hangsUp, connection } = request
  const headers = { 'content-type': 'application/json', 'x-request-id': id, 'x-tenant': tenant, 'x-user': user, ...odd }
  const call = { method: 'POST', headers, body: JSON.stringify(order), signal: connection.signal }
  const answer = await fetch(`${origin}/orders`, call).catch(() => undefined)
  return answer === undefined ? (hangsUp ? 'hung up' : 'no answer') : `${answer.status} ${await answer.text()}`
}
