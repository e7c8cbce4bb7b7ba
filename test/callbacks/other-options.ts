import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { credentials, makeGenericClientConstructor, Metadata, Server, ServerCredentials } from '@grpc/grpc-js'
import { bind, ContextVar, openScope, spawn, TaskGroup } from 'logical-context'
import { sqlCommenter } from 'logical-context/clients/sqlcommenter'
import { doctor } from 'logical-context/doctor'
import { inspectorHandler } from 'logical-context/inspector'
import { Messages, type MessagesOptions } from 'logical-context/messages/message'
import { grpcServerInterceptor } from 'logical-context/middleware/grpc'
import type { InboundOptions } from 'logical-context/middleware/inbound'
import { toTextMapPropagator, w3cBaggage } from 'logical-context/propagators'
import { service } from '../clients/grpc-service.ts'
import type { FunctionOption } from './options.ts'

const tenant = new ContextVar<string>('tenant')

/** The options of messages, of gRPC, of the inspector, of listeners and of the adapter to OpenTelemetry's propagators. */
export const otherOptions: readonly FunctionOption[] = [
  {
    name: 'onRefusal of messages',
    mayBeAsync: true,
    use: async (onRefusal) => {
      const messages = new Messages('jobs', { onRefusal })
      for (const _ of [1, 2]) messages.refuse('jobs', 'malformed')
    },
  },
  {
    name: 'onError of messages',
    mayBeAsync: true,
    reports: 2,
    reportsAlso: /the task failed/,
    use: (onError) => processTwice({ onError }, () => void spawn(fail)),
  },
  {
    name: 'onLateUse of messages',
    mayBeAsync: true,
    use: async (onLateUse) => {
      const late: (() => void)[] = []
      await processTwice({ onLateUse }, () => late.push(lateRead()))
      for (const read of late) read()
    },
  },
  {
    name: 'onSpawn of a variable that is enqueued',
    mayBeAsync: false,
    // Its failure is the sender's, at the enqueue.
    reports: 0,
    use: async (onSpawn) => {
      const variable = new ContextVar<unknown>('enqueued', { onSpawn })
      const messages = new Messages('jobs')
      openScope('sender').run(() => {
        variable.set('value')
        for (const _ of [1, 2]) {
          try {
            messages.capture('jobs')
          } catch {
            // What it throws.
          }
        }
      })
    },
  },
  {
    name: 'trust of gRPC',
    mayBeAsync: false,
    // One on stderr, and the refusal of the peer.
    reports: 2,
    use: (trust) => call({ trust }),
  },
  { name: 'guard', mayBeAsync: true, use: (guard) => openPage(guard) },
  { name: 'onRefusal of gRPC', mayBeAsync: true, use: (onRefusal) => call({ onRefusal }) },
  {
    name: 'onError of gRPC',
    mayBeAsync: true,
    reports: 2,
    reportsAlso: /the task failed/,
    use: (onError) => call({ onError }, () => void spawn(fail)),
  },
  {
    name: 'onLateUse of gRPC',
    mayBeAsync: true,
    use: async (onLateUse) => {
      const late: (() => void)[] = []
      await call({ onLateUse }, () => late.push(lateRead()))
      for (const read of late) read()
    },
  },
  {
    name: 'onError of a listener',
    mayBeAsync: true,
    reports: 2,
    reportsAlso: /the task failed/,
    use: async (onError) => {
      const listener = openScope('events', { group: new TaskGroup() }).listener(fail, { onError })
      for (const _ of [1, 2]) listener()
    },
  },
  {
    name: 'onError of spawn after the response',
    mayBeAsync: true,
    reports: 2,
    reportsAlso: /the task failed/,
    use: async (onError) => {
      for (const _ of [1, 2]) {
        // Node 22 cannot parse `using`.
        const scope = openScope('request', { group: new TaskGroup() })
        scope.run(() => spawn(fail, { onError, after: 'response', timeoutMs: 1000 }))
        scope.close()
      }
      await turn()
    },
  },
  {
    name: 'format of a field of sqlCommenter',
    mayBeAsync: true,
    use: async (format) => {
      const { append } = sqlCommenter({ fields: { tenant: { variable: tenant, format } } })
      for (const _ of [1, 2]) tenant.run('acme', () => append('select 1'))
    },
  },
  {
    name: 'onFinding of doctor',
    mayBeAsync: true,
    use: async (onFinding) => {
      const found = doctor({ onFinding, summary: false })
      const set = () => {
        tenant.set('outside any unit')
      }
      for (const attempt of [() => set(), () => tenant.set('also outside')]) {
        try {
          attempt()
        } catch {
          // What it throws.
        }
      }
      found[Symbol.dispose]()
      if (found.findings.length < 2) throw new Error('expected two findings')
    },
  },
  {
    name: 'refuse of toTextMapPropagator',
    mayBeAsync: true,
    use: async (refuse) => {
      const members = { tenant: { variable: tenant, decode: () => undefined, encode: String } }
      const propagator = toTextMapPropagator(w3cBaggage({ members }), { peer: { values: true, refuse } })
      const context = { getValue: () => undefined, setValue: () => context, deleteValue: () => context }
      const getter = { keys: () => ['baggage'], get: () => 'tenant=acme' }
      for (const _ of [1, 2]) propagator.extract(context, {}, getter)
    },
  },
]

async function processTwice(options: MessagesOptions, handle: () => unknown): Promise<void> {
  const messages = new Messages('jobs', options)
  for (const _ of [1, 2]) await messages.process({ queue: 'jobs' }, handle)
  await turn()
}

const Orders = makeGenericClientConstructor(service, 'Orders')

/** Makes two calls to a server of gRPC, on a real socket. */
async function call(options: InboundOptions, handle: () => unknown = () => {}): Promise<void> {
  const server = new Server({ interceptors: [grpcServerInterceptor(options)] })
  server.addService(service, {
    unary(_call: unknown, callback: (error: null, answer: string) => void) {
      void handle()
      callback(null, 'ok')
    },
  })
  const bound = Promise.withResolvers<number>()
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
    error === null ? bound.resolve(port) : bound.reject(error),
  )
  const client = new Orders(`127.0.0.1:${await bound.promise}`, credentials.createInsecure())
  const metadata = new Metadata()
  metadata.set('baggage', 'tenant=acme,other=1')
  metadata.set('x-request-id', 'not allowed')
  try {
    for (const _ of [1, 2]) {
      const answer = Promise.withResolvers<unknown>()
      const unary = client['unary'] as (...args: unknown[]) => NodeJS.EventEmitter
      const ended = once(
        unary.call(client, 'hi', metadata, { deadline: Date.now() + 5000 }, (error: unknown, text: unknown) =>
          error === null ? answer.resolve(text) : answer.reject(error as Error),
        ),
        'status',
      )
      if ((await answer.promise) !== 'ok') throw new Error('expected the answer ok')
      await ended
    }
    await turn()
  } finally {
    client.close()
    server.forceShutdown()
  }
}

/** Requests the page of the inspector twice. A guard that never settles is not waited for. */
async function openPage(guard: () => boolean): Promise<void> {
  const inspect = inspectorHandler({ guard })
  const server = createServer((request, response) => inspect(request, response))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  for (const _ of [1, 2]) {
    const requested = fetch(`http://127.0.0.1:${port}/__context/`).catch(() => {})
    await Promise.race([requested, delay(50)])
  }
  inspect.close()
  server.closeAllConnections()
  await promisify(server.close.bind(server))()
}

function fail(): never {
  throw new Error('the task failed')
}

/** A function of the current unit that reads a variable, for use after the unit's end. */
function lateRead(): () => void {
  return bind(() => void tenant.get())
}
