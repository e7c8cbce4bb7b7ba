const users = ['ada', 'bob', 'cleo', 'dan', 'eve', 'fay', 'gus', 'hal', 'ivy', 'joe', 'kim', 'lou']
const items = ['tea', 'cocoa', 'coffee', 'nectar', 'tea', 'cocoa', 'coffee']
const oddities: Readonly<Record<string, { note: string; headers: Record<string, string> }>> = {
  fay: { note: 'bad traceparent', headers: { traceparent: '00-bad-01' } },
  hal: { note: 'own trace', headers: { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' } },
  joe: { note: 'false baggage', headers: { baggage: 'tenant=mallory,user=mallory' } },
}

/** The twelve requests of the demo. Each log line must have the values of its request. */
export const requests = users.map((user, i) => {
  const id = `order-${String(i + 1).padStart(2, '0')}`
  const tenant = ['acme', 'globex', 'initech'][i % 3] ?? ''
  const { note = '', headers: odd = {} } = oddities[user] ?? {}
  const order = { id, item: items[i % 9] ?? 'tea', quantity: 1 + ((i * 7) % 5), jams: i === 1 }
  const headers = { 'content-type': 'application/json', 'x-request-id': id, 'x-tenant': tenant, 'x-user': user, ...odd }
  const connection = new AbortController()
  const call = { method: 'POST', headers, body: JSON.stringify(order), signal: connection.signal }
  return { id, tenant, user, order, note, call, connection, hangsUp: i % 5 === 1 }
})
