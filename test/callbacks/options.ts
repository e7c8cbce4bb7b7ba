import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import { bind, ContextVar, current, type LogicalContext, outside, runInScope, spawn, TaskGroup } from 'logical-context'
import { contextLogger, pinoMixin } from 'logical-context/bridges/pino'
import { contextFetch } from 'logical-context/clients/fetch'
import { Messages } from 'logical-context/messages/message'
import logicalContext, { type LogicalContextOptions } from 'logical-context/middleware/fastify'
import { json, type Propagator, w3cBaggage, xRequestId } from 'logical-context/propagators'
import { newIdentity } from 'logical-context/variables'
import { pino } from 'pino'
import { otherOptions } from './other-options.ts'
import { serverOptions } from './server-options.ts'
import type { Reports } from './reports.ts'

/** An option that takes a function, and a program that uses it twice. */
export interface FunctionOption {
  readonly name: string
  /** Whether its function may return a promise. Otherwise an async function is refused at the registration. */
  readonly mayBeAsync: boolean
  /** How often stderr or the log names the failures of two uses. Default: 1. */
  readonly reports?: number
  /** What a report must also contain. */
  readonly reportsAlso?: RegExp
  /** Uses the function twice. Rejects if the program around it did not work. */
  use(fn: () => never, reports: Reports): Promise<void>
}

const tenant = new ContextVar<unknown>('tenant')

export const functionOptions: readonly FunctionOption[] = [
  ...otherOptions,
  ...serverOptions,
  {
    name: 'trust',
    mayBeAsync: false,
    // One on stderr, and the refusal of the peer.
    reports: 2,
    use: (fn, reports) => serve(reports, { trust: fn }),
  },
  {
    name: 'onError of a server',
    mayBeAsync: true,
    reports: 2,
    reportsAlso: /the task failed/,
    use: (onError, reports) => serve(reports, { onError }, failingTask),
  },
  { name: 'onRefusal of a server', mayBeAsync: true, use: (onRefusal, reports) => serve(reports, { onRefusal }) },
  {
    name: 'onLateUse of a server',
    mayBeAsync: true,
    use: async (onLateUse, reports) => {
      const late: (() => void)[] = []
      await serve(reports, { onLateUse }, () => late.push(lateRead()))
      for (const read of late) read()
    },
  },
  {
    name: 'onDrained',
    mayBeAsync: true,
    // Its failure is the failure of the close.
    reports: 0,
    async use(onDrained, reports) {
      await serve(reports, { onDrained }).catch((error: unknown) => {
        if (error instanceof Error && error.message !== 'planted') throw error
      })
    },
  },
  {
    name: 'extract of a propagator',
    mayBeAsync: false,
    use: (extract, reports) => serve(reports, { propagators: [propagator({ extract }), xRequestId()] }),
  },
  {
    name: 'generate of xRequestId',
    mayBeAsync: false,
    use: (generate, reports) => serve(reports, { propagators: [xRequestId({ generate })] }),
  },
  {
    name: 'parse of xRequestId',
    mayBeAsync: false,
    // It fails for bad input too: the refusal of the header is the report.
    reports: 0,
    use: (parse, reports) => serve(reports, { propagators: [xRequestId({ parse })] }),
  },
  {
    name: 'format of xRequestId',
    mayBeAsync: false,
    use: (format) => call({ propagators: [xRequestId({ format })] }, newIdentity()),
  },
  {
    name: 'values of the Fastify plugin',
    mayBeAsync: false,
    // Its failure is the failure of the request.
    reports: 0,
    use: (values, reports) => serve(reports, { values }, undefined, [200, 500]),
  },
  {
    name: 'validate of json',
    mayBeAsync: false,
    // As for decode.
    reports: 0,
    use: (validate, reports) =>
      serve(reports, { trust: 'loopback', propagators: [w3cBaggage({ members: { other: json(tenant, validate) } })] }),
  },
  {
    name: 'decode of a member',
    mayBeAsync: false,
    // It fails for bad input too: the refusal of the member is the report.
    reports: 0,
    use: (decode, reports) =>
      serve(reports, {
        trust: 'loopback',
        propagators: [w3cBaggage({ members: { tenant: { variable: tenant, decode, encode: String } } })],
      }),
  },
  {
    name: 'encode of a member',
    mayBeAsync: false,
    use: (encode) =>
      call({ propagators: [w3cBaggage({ members: { tenant: { variable: tenant, decode: String, encode } } })] }),
  },
  {
    name: 'inject of a propagator',
    mayBeAsync: false,
    use: (inject) => call({ propagators: [propagator({ inject })] }),
  },
  {
    name: 'onRefusal of a client',
    mayBeAsync: false,
    use: (onRefusal) => {
      const encode = () => {
        throw new Error('not writable')
      }
      const members = { tenant: { variable: tenant, decode: String, encode } }
      return call({ onRefusal, propagators: [w3cBaggage({ members })] })
    },
  },
  {
    name: 'fetch of contextFetch',
    mayBeAsync: true,
    // The failure of the call belongs to its caller.
    reports: 0,
    use: (fn) => {
      const client = contextFetch.with({ fetch: fn })
      // A call without a deadline lasts as long as its fetch.
      const attempt = () => Promise.race([client('http://127.0.0.1:1'), delay(20)]).catch(() => {})
      return runInScope(() => twice(attempt))
    },
  },
  {
    name: 'onFailure of messages',
    mayBeAsync: true,
    use: async (onFailure) => {
      const messages = new Messages('jobs', { onFailure })
      await twice(async () => expect(await messages.acknowledge({ queue: 'jobs' }, fail), 'failed'))
    },
  },
  {
    name: 'onSpawn of a variable',
    mayBeAsync: false,
    reports: 2,
    use: (onSpawn) => {
      const variable = new ContextVar<unknown>('ruled', { onSpawn })
      return runInScope(async () => {
        variable.set('value')
        for (const _ of [1, 2]) spawn(() => variable.get(), { name: 'onSpawn' })
        await turn()
      })
    },
  },
  {
    name: 'onError of spawn',
    mayBeAsync: true,
    reports: 2,
    reportsAlso: /the task failed/,
    use: (onError) => twice(() => runInScope(async () => void spawn(fail, { onError }))),
  },
  {
    name: 'onError of a TaskGroup',
    mayBeAsync: true,
    reports: 2,
    reportsAlso: /the task failed/,
    use: async (onError) => {
      const group = new TaskGroup({ onError })
      await twice(() => runInScope(async () => void group.spawn(fail)))
      await group.drain({ timeoutMs: 50, graceMs: 0 })
      const { failed, running } = group.counters
      expect(failed + running, 2)
    },
  },
  {
    name: 'onLateUse of runInScope',
    mayBeAsync: true,
    use: async (onLateUse) => {
      const late = runInScope(lateRead, { onLateUse })
      late()
      late()
    },
  },
  {
    name: 'format of a log field',
    mayBeAsync: false,
    use: async (format) => {
      const lines: string[] = []
      const logger = contextLogger(pino({}, { write: (line) => lines.push(line) }), {
        fields: { tenant: { variable: tenant, format } },
      })
      await logInTwoUnits(() => logger.info('x'), lines)
    },
  },
  {
    name: 'mixin of pinoMixin',
    mayBeAsync: false,
    use: async (mixin) => {
      const lines: string[] = []
      const logger = pino({ mixin: pinoMixin({ mixin }) }, { write: (line) => lines.push(line) })
      await logInTwoUnits(() => logger.info('x'), lines)
    },
  },
]

/** Uses the package in all ways that a callback may use it. */
export function useAgain(): void {
  current()
  tenant.get()
  outside(() => runInScope(() => tenant.set('again')))
  runInScope(() => void spawn(() => tenant.get()))
}

/** Serves two requests on a real socket, and closes. */
async function serve(
  reports: Reports,
  options: LogicalContextOptions,
  handle: () => unknown = () => {},
  statuses: readonly number[] = [200],
): Promise<void> {
  const app = Fastify({ logger: { level: 'warn', stream: reports.stream }, forceCloseConnections: true })
  await app.register(logicalContext, { drainTimeoutMs: 200, ...options })
  app.get('/', () => {
    void handle()
    return { hello: 'world' }
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const headers = { baggage: 'tenant=acme,other=1', 'x-request-id': 'not allowed' }
  try {
    for (const _ of [1, 2]) {
      const response = await fetch(url, { headers, signal: AbortSignal.timeout(2000) })
      expect(statuses.includes(response.status), true)
      expect((await response.text()) === '{"hello":"world"}', response.status === 200)
    }
    await turn()
  } finally {
    const closed = await Promise.race([app.close().then(() => 'closed'), delay(2000, 'open')])
    expect(closed, 'closed')
  }
}

/** Makes two calls to a server. */
async function call(options: Parameters<typeof contextFetch.with>[0], context?: LogicalContext): Promise<void> {
  const server = createServer((_request, response) => response.end('ok')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const client = contextFetch.with({ values: ['127.0.0.1'], ...options })
  try {
    await runInScope(async () => {
      tenant.set('acme')
      await twice(async () => expect(await (await client(url, { signal: AbortSignal.timeout(2000) })).text(), 'ok'))
    }, context && { context })
  } finally {
    server.close()
    server.closeAllConnections()
  }
}

async function logInTwoUnits(log: () => void, lines: string[]): Promise<void> {
  await twice(async () =>
    runInScope(() => {
      tenant.set('acme')
      log()
    }),
  )
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg).join(), 'x,x')
}

function propagator(methods: Partial<Propagator>): Propagator {
  return { fields: ['x-own'], extract: (context) => context, inject() {}, ...methods }
}

function fail(): never {
  throw new Error('the task failed')
}

const failingTask = () => spawn(fail)

/** A function of the current unit that reads a variable, for use after the unit's end. */
function lateRead(): () => void {
  return bind(() => void tenant.get())
}

async function twice(use: () => Promise<unknown>): Promise<void> {
  await use()
  await use()
}

function expect(value: unknown, expected: unknown): void {
  if (value !== expected) throw new Error(`expected ${String(expected)}, got ${String(value)}`)
}
