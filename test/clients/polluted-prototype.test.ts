import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ContextVar, LogicalContext, run, runInScope } from 'logical-context'
import { contextFetch } from 'logical-context/clients/fetch'
import { grpcClientInterceptor } from 'logical-context/clients/grpc'
import { inject } from 'logical-context/clients/inject'
import { rewriteRequestHeaders } from 'logical-context/clients/reply-from'
import { undiciInterceptor } from 'logical-context/clients/undici'
import { w3cBaggage } from 'logical-context/propagators'
import { afterEach, describe, expect, it } from 'vitest'

const tenant = new ContextVar<string>('tenant')
const propagators = [w3cBaggage({ members: { tenant } })]
const polluted = {
  values: ['127.0.0.1'],
  trace: 'polluted',
  onRefusal: 'polluted',
  to: 1,
  origin: 1,
  fetch: 'polluted',
}

afterEach(() => {
  for (const name of Object.keys(polluted)) Reflect.deleteProperty(Object.prototype, name)
})

describe('an option that other code added to Object.prototype', () => {
  it.each<[string, () => unknown]>([
    ['contextFetch.with', () => contextFetch.with({ propagators })],
    ['inject.with', () => inject.with({ propagators })],
    ['undiciInterceptor', () => undiciInterceptor({ propagators })],
    ['rewriteRequestHeaders', () => rewriteRequestHeaders({ propagators })],
    ['grpcClientInterceptor', () => grpcClientInterceptor({ propagators })],
  ])('is not read by %s', (_name, make) => {
    Object.assign(Object.prototype, polluted)

    expect(make).not.toThrow()
  })

  it('allows no host to receive values', async () => {
    const server = createServer(({ headers }, response) => response.end(JSON.stringify(headers))).listen(0, '127.0.0.1')
    await once(server, 'listening')
    Object.assign(Object.prototype, { values: ['127.0.0.1'] })
    const client = contextFetch.with({ propagators })
    Reflect.deleteProperty(Object.prototype, 'values')

    const sent = await runInScope(() =>
      run(LogicalContext.empty.with(tenant, 'acme'), async () => {
        const response = await client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
        return response.json()
      }),
    )

    expect(sent).not.toHaveProperty('baggage')
    server.close()
    server.closeAllConnections()
  })
})
