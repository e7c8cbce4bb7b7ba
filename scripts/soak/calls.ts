import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inject } from 'logical-context/clients/inject'
import { undiciInterceptor } from 'logical-context/clients/undici'
import { type Dispatcher, Pool } from 'undici'
import { Pool as Pool7 } from 'undici7'
import { type Carrier, propagators } from './carrier.ts'
import type { Facts } from './facts.ts'

/** So few that callers wait for each other. */
export const connections = 4

/** Calls another service, and returns the caller's values that the service received. */
export interface Calls {
  call(): Promise<Pick<Facts, 'tenant' | 'user'>>
  close(): Promise<void>
}

/** Calls through saturated pools of undici 8 and 7 in turn, with the interceptor. */
export async function callsByInterceptor(): Promise<Calls> {
  const { url, server } = await echo()
  const pools = [new Pool(url, { connections }), new Pool7(url, { connections }) as unknown as Pool]
  const interceptor = undiciInterceptor({ propagators, values: ['127.0.0.1'], origin: url })
  const dispatchers = pools.map((pool) => pool.compose(interceptor))
  let calls = 0
  return {
    call: () => ask(dispatchers[calls++ % dispatchers.length] as Dispatcher),
    close: () => closeAll(server, pools),
  }
}

/**
 * The control: like a tracer, it injects in the channel that announces a request. The pool of undici 7 creates a request
 * when a connection is free; the pool of undici 8 binds the waiting requests.
 */
export async function callsByChannel(): Promise<Calls> {
  const { url, server } = await echo()
  const pool = new Pool7(url, { connections }) as unknown as Pool
  const injectValues = inject.with({ propagators, values: ['127.0.0.1'] })
  const onCreate = (message: unknown) => {
    const { request } = message as { request: { addHeader(name: string, value: string): void } }
    const headers = new Map<string, string>()
    injectValues(headers, { to: url })
    for (const [name, value] of headers) request.addHeader(name, value)
  }
  subscribe('undici:request:create', onCreate)
  return {
    call: () => ask(pool),
    close: () => {
      unsubscribe('undici:request:create', onCreate)
      return closeAll(server, [pool])
    },
  }
}

/** For a carrier without a client: the headers are written when the call is made. */
export async function callsByHand(carrier: Carrier): Promise<Calls> {
  const { url, server } = await echo()
  const pool = new Pool(url, { connections })
  return {
    call: () => {
      const { tenant, user } = carrier.read()
      const members = Object.entries({ tenant, user }).filter(([, value]) => value !== undefined)
      return ask(pool, { baggage: members.map(([name, value]) => `${name}=${encodeURIComponent(value ?? '')}`).join() })
    },
    close: () => closeAll(server, [pool]),
  }
}

async function ask(dispatcher: Dispatcher, headers: Record<string, string> = {}) {
  const { body } = await dispatcher.request({ path: '/', method: 'GET', headers })
  const { baggage = '' } = (await body.json()) as IncomingHttpHeaders & { baggage?: string }
  const members = new URLSearchParams(baggage.replaceAll(',', '&'))
  return { tenant: members.get('tenant') ?? undefined, user: members.get('user') ?? undefined }
}

/** A service that answers with the headers of the request. */
async function echo(): Promise<{ url: string; server: Server }> {
  const server = createServer(({ headers }, response) => {
    setImmediate(() => response.end(JSON.stringify(headers)))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}

async function closeAll(server: Server, pools: readonly Pool[]): Promise<void> {
  await Promise.all(pools.map((pool) => pool.close()))
  server.close()
  server.closeAllConnections()
}
