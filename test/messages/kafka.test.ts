import {
  type Consumer,
  Kafka,
  KafkaJSConnectionError,
  KafkaJSNumberOfRetriesExceeded,
  KafkaJSRequestTimeoutError,
  logLevel,
  type Producer,
} from 'kafkajs'
import { ContextVar, runInScope } from 'logical-context'
import { kafkaContext, type KafkaRecord } from 'logical-context/messages/kafka'
import { describeMessages } from 'logical-context/testing'
import { w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { message, requestId, TraceContext, traceContext } from 'logical-context/variables'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { kcatProgram, startKafkaMock } from '../servers/kafka-mock.ts'
import { needs } from '../servers/server.ts'
import { startWorkerProcess } from './worker-process.ts'

const { name, skip } = needs(kcatProgram, 'kcat')
const resetByPeer = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
const closedByBroker = Object.assign(new KafkaJSConnectionError('closed'), { name: 'KafkaJSConnectionClosedError' })
const circle = new Error('refused')
circle.cause = circle
const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
const user = new ContextVar<string>('user')
const propagators = [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { tenant, user } })]
const seen = () => ({ tenant: tenant.get(), user: user.get(), id: requestId.get(), trace: traceContext.get()?.traceId })
const traceId = '0af7651916cd43dd8448eb211c80319c'
const asRequest = <R>(fn: () => R) =>
  runInScope(() => {
    tenant.set('acme')
    user.set('ann')
    requestId.set('r-1')
    traceContext.set(new TraceContext({ traceId }))
    return fn()
  })

describe.skipIf(skip)(`kafkaContext, on librdkafka's mock cluster with kafkajs${name}`, () => {
  let mock: Awaited<ReturnType<typeof startKafkaMock>>
  let producer: Producer
  let consumer: Consumer
  beforeAll(async () => {
    mock = await startKafkaMock()
    const kafka = new Kafka({ brokers: mock.brokers, logLevel: logLevel.NOTHING })
    producer = kafka.producer()
    consumer = kafka.consumer({ groupId: 'workers' })
    await producer.connect()
    await consumer.connect()
  }, 60_000)
  afterAll(async () => {
    await consumer.disconnect()
    await producer.disconnect()
    await mock.stop()
  })

  it('opens each record in a unit by its policy, outside the context of the code that runs the consumer', async () => {
    const kafka = kafkaContext({ propagators })
    const found: Record<string, unknown> = {}
    const all = Promise.withResolvers<void>()
    await asRequest(() =>
      producer.send({
        topic: 'orders',
        messages: [
          { value: 'inherit', headers: kafka.headers('orders') },
          { value: 'isolate', headers: kafka.headers('orders', 'isolate') },
          { value: 'only', headers: kafka.headers('orders', { only: [] }) },
          { value: 'stranger', headers: { traceparent: Buffer.from([0xff, 0x00]), baggage: 'broken' } },
        ],
      }),
    )
    await consumer.subscribe({ topic: 'orders', fromBeginning: true })
    await runInScope(() => {
      user.set('creator of the consumer')
      return consumer.run({
        eachMessage: ({ topic, message: record }) =>
          kafka.process(topic, record, () => {
            found[String(record.value)] = { ...seen(), queue: message.get()?.queue }
            if (Object.keys(found).length === 4) all.resolve()
          }),
      })
    })
    await all.promise

    expect(found).toMatchObject({
      inherit: { tenant: 'acme', user: 'ann', id: 'r-1', trace: traceId, queue: 'orders' },
      isolate: { tenant: 'acme', user: undefined, trace: expect.not.stringMatching(traceId) },
      only: { tenant: 'acme', user: undefined, trace: traceId },
      stranger: { tenant: undefined, user: undefined, id: expect.stringMatching(/^[\da-f-]{36}$/) },
    })
    expect(kafka.messages.counters.malformed).toBeGreaterThan(0)
  }, 60_000)

  it('rejects an enqueue that the cluster does not confirm in time: it may be accepted', async () => {
    const { messages, headers } = kafkaContext({ propagators })
    const own = await startKafkaMock()
    const sender = new Kafka({ brokers: own.brokers, logLevel: logLevel.NOTHING }).producer()
    await sender.connect()
    await own.stop()

    const sent = sender.send({ topic: 'orders', messages: [{ value: 'x', headers: headers('orders') }] })
    sent.catch(() => {})
    const failure = await messages.enqueue('orders', 200, sent).catch((error: unknown) => error)
    await sender.disconnect()

    expect(failure).toMatchObject({ code: 'LCTX_ENQUEUE_TIMEOUT', message: expect.stringContaining('may accept') })
  })

  // Two consumers for all queues, because a consumer joins its group for seconds. Each has one of the partitions, and
  // is alone in its group: the mock refuses a member whose SyncGroup arrives after that of the leader.
  type Run = (text: string, record: KafkaRecord) => unknown
  const runs = new Map<string, PromiseWithResolvers<Run>>()
  let queues = 0
  const startConsumer = async (own: number) => {
    const kafka = new Kafka({ brokers: mock.brokers, logLevel: logLevel.NOTHING })
    const one = kafka.consumer({ groupId: `jobs-${own}`, maxWaitTimeInMs: 50, retry: { initialRetryTime: 20 } })
    await one.subscribe({ topic: 'jobs', fromBeginning: true })
    await one.run({
      async eachMessage({ message: record, partition }) {
        if (partition !== own) return
        const run = await runs.get(String(record.key))?.promise
        await run?.(String(record.value), record)
      },
    })
    return one
  }
  let consumers: Promise<Consumer[]> | undefined
  afterAll(async () => {
    await Promise.all((await consumers)?.map((one) => one.disconnect()) ?? [])
  })

  describeMessages({ describe, it, expect }, 'kafkajs', {
    retries: 'uncounted',
    startWorker: ({ name: topic = '' }) => startWorkerProcess('kafka', topic, ...mock.brokers),
    async open(options, lostAfterMs) {
      await (consumers ??= Promise.all([startConsumer(0), startConsumer(1)]))
      const context = kafkaContext(options)
      const key = `jobs-${++queues}`
      const topic = lostAfterMs === undefined ? 'jobs' : key
      const run = Promise.withResolvers<Run>()
      runs.set(key, run)
      let sent = 0
      const send = (data: object, headers: Record<string, string>) => {
        const partition = sent++ % 2
        return producer.send({ topic, messages: [{ key, partition, value: JSON.stringify(data), headers }] })
      }
      return {
        name: key,
        enqueue: async (data, policy) => send(data, context.headers(topic, policy)),
        enqueueRaw: (data, fields) =>
          send(
            data,
            typeof fields === 'object' && fields !== null
              ? Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, String(value)]))
              : { baggage: String(fields) },
          ),
        work: async (handler) =>
          run.resolve((text, record) =>
            context.process(topic, record, (scope) => handler(JSON.parse(text) as Record<string, unknown>, scope)),
          ),
        closeWorkers: (closeOptions) => context.close(closeOptions),
        async close() {
          runs.delete(key)
          run.resolve(() => {})
        },
      }
    },
  })
})

describe('kafkaContext', () => {
  it.each([
    ['a connection that ended', closedByBroker],
    ['a request without an answer', new KafkaJSRequestTimeoutError('late', {} as never)],
    ['several tries', new KafkaJSNumberOfRetriesExceeded(new Error('refused'), { retryCount: 2, retryTime: 1 })],
    ['another error that has one of these as its cause', new Error('not sent', { cause: resetByPeer })],
    ['one of several errors', new AggregateError([new Error('refused'), resetByPeer])],
  ])('leaves it open whether a record was accepted, after %s', async (_, cause) => {
    const failure = kafkaContext().messages.enqueue('orders', 1000, Promise.reject(cause))

    await expect(failure).rejects.toMatchObject({ code: 'LCTX_ENQUEUE_TIMEOUT', cause })
  })

  it.each([
    ['a broker that refused the connection', Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })],
    ['a circle of causes', circle],
    ['a text', 'refused'],
    ['undefined', undefined],
  ])('rejects with the error of the engine for %s', async (_, error) => {
    await expect(kafkaContext().messages.enqueue('orders', 1000, Promise.reject(error))).rejects.toBe(error)
  })

  it('reads headers as @platformatic/kafka has them: a Map of bytes', async () => {
    const kafka = kafkaContext({ propagators })
    const entries = asRequest(() => Object.entries(kafka.headers('orders')))
    const headers = new Map(entries.map(([key, value]) => [Buffer.from(key), Buffer.from(value)]))

    expect(await kafka.process('orders', { headers, offset: 1n }, seen)).toMatchObject({ tenant: 'acme', id: 'r-1' })
  })

  it('reads headers as node-rdkafka has them: a list of objects of bytes', async () => {
    const kafka = kafkaContext({ propagators })
    const entries = asRequest(() => Object.entries(kafka.headers('orders')))
    const headers = entries.map(([key, value]) => ({ [key]: Buffer.from(value) }))

    expect(await kafka.process('orders', { headers, offset: 1 }, seen)).toMatchObject({ tenant: 'acme', id: 'r-1' })
  })

  it('runs a record without headers, and one whose headers are not strings', async () => {
    const kafka = kafkaContext({ propagators })
    const strange = { offset: '1', headers: { baggage: null, traceparent: 7, 'x-request-id': {} } as never }

    expect(await kafka.process('orders', { offset: '1' }, seen)).toMatchObject({ tenant: undefined })
    expect(await kafka.process('orders', strange, seen)).toMatchObject({ tenant: undefined })
  })

  it.each([
    ['share', () => kafkaContext().headers('orders', 'share' as never), /other than 'share'/],
    ['an unknown option', () => kafkaContext({ brokers: [] } as never), /kafkaContext: unknown option 'brokers'/],
  ])('refuses %s', (_, call, expected) => {
    expect(call).toThrow(expected)
  })
})
