import { openShop } from './shop.ts'

const shop = await openShop((line) => console.log(JSON.stringify(line)))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void shop.close())

const order = `curl ${shop.gateway}/orders -H 'content-type: application/json' -d '{"id":"1","item":"tea","quantity":2}'`
console.log(`
The shop is open; Ctrl-C closes it. Try these, and look for request_id, trace_id, tenant and user in the lines:
${order} -H 'x-tenant: acme' -H 'x-user: ada'
${order} -H 'x-tenant: globex' -H 'x-user: bob' --max-time 0.1
${order} -H 'baggage: tenant=mallory'
The inspector shows what each request, task and job sees: ${shop.gateway}/__context`)
