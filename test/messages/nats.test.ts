import { AckPolicy, type ConsumerMessages, jetstream, jetstreamManager, type JsMsg } from '@nats-io/jetstream'
import { connect, headers, nanos, type NatsConnection } from '@nats-io/transport-node'
import { runInScope } from 'logical-context'
import { natsContext } from 'logical-context/messages/nats'
import { describeMessages } from 'logical-context/testing'
import { message, requestId, traceContext } from 'logical-context/variables'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { type Gate, startGate } from '../servers/gate.ts'
import { natsProgram, startNats } from '../servers/nats.ts'
import { needs, type RunningServer } from '../servers/server.ts'
import { startWorkerProcess } from './worker-process.ts'

const { name, skip } = needs(natsProgram, 'nats-server')

describe.skipIf(skip)(`on a NATS server${name}`, () => {
  let server: RunningServer
  let connection: NatsConnection
  let queues = 0
  beforeAll(async () => {
    server = await startNats()
    connection = await connect({ servers: server.url })
  }, 60_000)
  afterAll(async () => {
    await connection.close()
    await server.stop()
  })

  async function openStream(ackWaitMs = 30_000): Promise<string> {
    const subject = `jobs${++queues}`
    const manager = await jetstreamManager(connection)
    await manager.streams.add({ name: subject, subjects: [subject] })
    const limits = { ack_policy: AckPolicy.Explicit, ack_wait: nanos(ackWaitMs), max_deliver: 2 }
    await manager.consumers.add(subject, { durable_name: 'worker', ...limits })
    return subject
  }

  describeMessages({ describe, it, expect }, 'JetStream', {
    kill: () => server.kill(),
    startWorker: ({ name: subject = '' }) => startWorkerProcess('nats', server.url, subject),
    restart: async () => {
      await server.restart()
      await vi.waitFor(async () => (await jetstreamManager(connection)).getAccountInfo(), { timeout: 20_000 })
    },
    async open(options, lostAfterMs) {
      const context = natsContext({ onFailure() {}, ...options })
      const js = jetstream(connection)
      const subject = await openStream(lostAfterMs)
      let deliveries: ConsumerMessages | undefined
      return {
        name: subject,
        enqueue: (data, policy) => context.publish(js, subject, JSON.stringify(data), policy && { policy }),
        async enqueueRaw(data, fields) {
          const raw = headers()
          const entries = typeof fields === 'object' && fields !== null ? Object.entries(fields) : [['baggage', fields]]
          for (const [key, value] of entries) raw.set(String(key), String(value).replaceAll(/[^ -~]/g, '?'))
          await js.publish(subject, JSON.stringify(data), { headers: raw })
        },
        async work(handler) {
          const consumer = await js.consumers.get(subject, 'worker')
          deliveries = await consumer.consume()
          const run = async (all: ConsumerMessages) => {
            for await (const message of all) {
              void context.process(message, (received, scope) => handler(received.json(), scope))
            }
          }
          void run(deliveries)
        },
        async closeWorkers(closeOptions) {
          deliveries?.stop()
          return context.close(closeOptions)
        },
        close: async () => deliveries?.stop(),
      }
    },
  })

  it('delivers a message again after the delay that its handler requests, in the same context', async () => {
    const context = natsContext()
    const subject = await openStream()
    const attempts: unknown[] = []
    await runInScope(async () => {
      requestId.set('r-1')
      await context.publish(jetstream(connection), subject, '{}')
    })
    const deliveries = await (await jetstream(connection).consumers.get(subject, 'worker')).consume()

    for await (const delivery of deliveries) {
      await context.process(delivery, (received) => {
        attempts.push([requestId.get(), received.info.deliveryCount])
        if (attempts.length === 1) received.nak(10)
      })
      if (attempts.length === 2) break
    }

    expect(attempts).toEqual([
      ['r-1', 1],
      ['r-1', 2],
    ])
  })

  it('has the same ids in each attempt of a message without a context, and other ids for each message', async () => {
    const context = natsContext({ onFailure() {} })
    const js = jetstream(connection)
    const subject = await openStream()
    for (const n of [1, 2]) await js.publish(subject, JSON.stringify(n))
    const seen: Record<string, unknown[]> = { 1: [], 2: [] }
    const deliveries = await (await js.consumers.get(subject, 'worker')).consume()

    let left = 4
    for await (const delivery of deliveries) {
      await context.process(delivery, (received) => {
        seen[received.string()]?.push(`${requestId.get()} ${traceContext.get()?.traceId}`)
        if (received.info.deliveryCount === 1) throw new Error('again')
      })
      if (--left === 0) break
    }

    const [first = [], second = []] = [seen['1'], seen['2']]
    expect([new Set(first).size, new Set(second).size, new Set([...first, ...second]).size]).toEqual([1, 1, 2])
    expect(first[0]).toMatch(/^[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-8[\da-f]{3}-[\da-f]{12} [\da-f]{32}$/)
  })

  it.each([
    ['ends', (gate: Gate) => gate.cut()],
    ['is closed by the program', (_gate: Gate, own: NatsConnection) => own.close()],
  ])(
    'rejects an enqueue whose connection %s before the acknowledgement: the message may be accepted',
    async (_, end) => {
      const subject = await openStream()
      const gate = await startGate(server.port)
      onTestFinished(() => gate.cut())
      const own = await connect({ servers: `127.0.0.1:${gate.port}`, reconnect: false })
      onTestFinished(() => own.close())

      const held = gate.hold()
      const sent = natsContext()
        .publish(jetstream(own), subject, '{}')
        .catch((error: unknown) => error)
      await held
      await end(gate, own)

      expect(await sent).toMatchObject({ code: 'LCTX_ENQUEUE_TIMEOUT', message: expect.stringContaining('may accept') })
    },
  )

  it('waits as long as the call says, instead of the context', async () => {
    const subject = await openStream()
    const gate = await startGate(server.port)
    const own = await connect({ servers: `127.0.0.1:${gate.port}`, reconnect: false })
    onTestFinished(() => gate.cut())
    onTestFinished(() => own.close())
    void gate.hold()

    const call = natsContext().publish(jetstream(own), subject, '{}', { timeout: 20 })

    await expect(call).rejects.toThrow('within 20 ms')
  })

  it('opens a fetched batch in a unit that links to its senders, and acknowledges all its messages', async () => {
    const context = natsContext()
    const js = jetstream(connection)
    const subject = await openStream()
    for (const id of ['r-1', 'r-2']) {
      await runInScope(async () => {
        requestId.set(id)
        await context.publish(js, subject, '{}')
      })
    }
    const consumer = await js.consumers.get(subject, 'worker')
    const batch: JsMsg[] = []
    for await (const delivery of await consumer.fetch({ max_messages: 2 })) batch.push(delivery)

    const seen = await context.processBatch(batch, async (items) => [
      message.get()?.links?.length,
      await Promise.all(items.map(({ run }) => run(() => requestId.get()))),
    ])
    await connection.flush()

    expect(seen).toEqual([2, ['r-1', 'r-2']])
    expect((await consumer.info()).num_ack_pending).toBe(0)
  })

  it('adds no second header to one of the program whose name differs in case', async () => {
    const js = jetstream(connection)
    const subject = await openStream()
    const own = headers()
    own.set('X-Request-Id', 'mine')

    const { seq } = await natsContext().publish(js, subject, '{}', { headers: own })
    const stored = await (await jetstreamManager(connection)).streams.getMessage(subject, { seq })

    expect(stored?.header.keys().toSorted()).toEqual(['X-Request-Id', 'logical-context', 'traceparent'])
  })

  it('keeps a header that the program has set, and an id against duplicates', async () => {
    const context = natsContext()
    const js = jetstream(connection)
    const subject = await openStream()
    const own = headers()
    own.set('x-request-id', 'mine')

    const first = await context.publish(js, subject, '{}', { headers: own, msgID: 'once' })
    const second = await context.publish(js, subject, '{}', { msgID: 'once' })
    const stored = await (await jetstreamManager(connection)).streams.getMessage(subject, { seq: first.seq })

    expect(stored?.header.get('x-request-id')).toBe('mine')
    expect([first.duplicate, second.duplicate]).toEqual([false, true])
  })

  it('writes the context of each request into the same headers of the program, and leaves them as they are', async () => {
    const context = natsContext()
    const js = jetstream(connection)
    const subject = await openStream()
    const shared = headers()
    shared.append('kind', 'a')
    shared.append('kind', 'b')
    const publishAs = (id: string) =>
      runInScope(async () => {
        requestId.set(id)
        return context.publish(js, subject, '{}', { headers: shared })
      })

    const sent = [await publishAs('r-1'), await publishAs('r-2')]
    const manager = await jetstreamManager(connection)
    const stored = await Promise.all(sent.map(({ seq }) => manager.streams.getMessage(subject, { seq })))

    expect(stored.map((message) => [message?.header.get('x-request-id'), message?.header.values('kind')])).toEqual([
      ['r-1', ['a', 'b']],
      ['r-2', ['a', 'b']],
    ])
    expect(shared.keys()).toEqual(['kind'])
  })
})

describe('natsContext', () => {
  it.each([
    ['an unknown option', () => natsContext({ servers: 'x' } as never), /natsContext: unknown option 'servers'/],
    ['a limit that is not a number', () => natsContext({ enqueueTimeoutMs: '1' } as never), /'enqueueTimeoutMs'/],
  ])('refuses %s', (_, call, message) => {
    expect(call).toThrow(message)
  })
})
