import { type Channel, type ChannelModel, type ConfirmChannel, connect } from 'amqplib'
import { ContextVar, runInScope } from 'logical-context'
import { amqpContext } from 'logical-context/messages/amqp'
import { w3cBaggage } from 'logical-context/propagators'
import { describeMessages } from 'logical-context/testing'
import { message, requestId, type TraceContext, traceContext } from 'logical-context/variables'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { type Rabbit, rabbitProgram, startRabbit } from '../servers/rabbitmq.ts'
import { needs } from '../servers/server.ts'
import { startWorkerProcess } from './worker-process.ts'

const { name, skip } = needs(rabbitProgram, 'rabbitmq-server')
const tenant = new ContextVar<string>('tenant')

describe.skipIf(skip)(`on RabbitMQ${name}`, () => {
  let server: Rabbit
  let connection: ChannelModel
  let queues = 0
  beforeAll(async () => {
    server = await startRabbit()
    await open()
  }, 120_000)
  afterAll(async () => {
    // The last test ends the broker.
    await connection.close().catch(() => {})
    await server.stop()
  })

  async function open(): Promise<void> {
    connection = await connect(server.url)
    connection.on('error', () => {})
  }

  // A restart of RabbitMQ takes some seconds, and more on a busy machine.
  const patient = (title: string, body: () => Promise<void>) => it(title, body, 120_000)

  describeMessages({ describe, it: patient, expect }, 'amqplib', {
    kill: () => server.kill(),
    restart: async () => {
      await server.restart()
      await open()
    },
    startWorker: ({ name: queue = '' }) => startWorkerProcess('amqp', server.url, queue),
    async open(options) {
      const context = amqpContext({ onFailure() {}, ...options })
      let usedBy = connection
      let sender = await connection.createConfirmChannel()
      const channels: Channel[] = [sender]
      // The channels of a killed broker are closed.
      const openSender = async (): Promise<ConfirmChannel> => {
        if (usedBy === connection) return sender
        usedBy = connection
        channels.push((sender = await connection.createConfirmChannel()))
        return sender
      }
      const queue = `jobs-${++queues}`
      await sender.assertQueue(queue, { durable: true })
      return {
        name: queue,
        enqueue: async (data, policy) =>
          context.send(await openSender(), queue, Buffer.from(JSON.stringify(data)), {
            persistent: true,
            ...(policy && { policy }),
          }),
        async enqueueRaw(data, fields) {
          const headers = typeof fields === 'object' && fields !== null ? { ...fields } : { baggage: fields }
          sender.sendToQueue(queue, Buffer.from(JSON.stringify(data)), { headers })
          await sender.waitForConfirms()
        },
        async work(handler) {
          const channel = await connection.createChannel()
          channels.push(channel)
          await channel.prefetch(2)
          await context.consume(
            channel,
            queue,
            (message, scope) => handler(JSON.parse(message.content.toString()) as Record<string, unknown>, scope),
            { requeue: true },
          )
        },
        closeWorkers: (closeOptions) => context.close(closeOptions),
        close: async () => {
          await context.close({ timeoutMs: 0, graceMs: 0 })
          await Promise.allSettled(channels.map(async (channel) => channel.close()))
        },
      }
    },
  })

  it('counts the deliveries of a quorum queue', async () => {
    const context = amqpContext({ onFailure() {} })
    const channel = await connection.createConfirmChannel()
    const queue = `jobs-${++queues}`
    await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
    const attempts: unknown[] = []
    const third = Promise.withResolvers<void>()

    await context.send(channel, queue, Buffer.from('x'))
    const handler = () => {
      if (attempts.push(message.get()?.attempt) < 3) throw new Error('again')
      third.resolve()
    }
    await context.consume(channel, queue, handler, { requeue: true })
    await third.promise
    await context.close()
    await channel.close()

    expect(attempts).toEqual([1, 2, 3])
  })

  it('delivers a dead letter with the context of its message, as an attempt of its own', async () => {
    const context = amqpContext({ onFailure() {} })
    const channel = await connection.createConfirmChannel()
    const [queue, dead] = [`jobs-${++queues}`, `dead-${queues}`]
    await channel.assertQueue(dead, { autoDelete: true })
    const deadLetter = { deadLetterExchange: '', deadLetterRoutingKey: dead }
    await channel.assertQueue(queue, { autoDelete: true, ...deadLetter })
    const seen: [queue: string | undefined, id: string | undefined, trace: TraceContext | undefined][] = []
    const see = () => seen.push([message.get()?.queue, requestId.get(), traceContext.get()])
    const both = Promise.withResolvers<void>()

    await runInScope(() => context.send(channel, queue, Buffer.from('x')))
    await context.consume(channel, dead, () => {
      see()
      both.resolve()
    })
    await context.consume(channel, queue, () => {
      see()
      throw new Error('the only attempt fails')
    })
    await both.promise
    await context.close()
    await channel.close()

    const [[, id, trace] = [], [, deadId, deadTrace] = []] = seen
    expect(seen.map(([name]) => name)).toEqual([queue, dead])
    expect([deadId, deadTrace?.traceId]).toEqual([id, trace?.traceId])
    expect(deadTrace?.spanId).not.toBe(trace?.spanId)
  })

  it('counts the attempts of a message that a dead letter exchange returns to its queue', async () => {
    const context = amqpContext({ onFailure() {} })
    const channel = await connection.createConfirmChannel()
    const [queue, pause] = [`jobs-${++queues}`, `pause-${queues}`]
    const to = (deadLetterRoutingKey: string) => ({ autoDelete: true, deadLetterExchange: '', deadLetterRoutingKey })
    await channel.assertQueue(queue, to(pause))
    await channel.assertQueue(pause, { ...to(queue), messageTtl: 1 })
    const attempts: unknown[] = []
    const third = Promise.withResolvers<void>()

    await runInScope(() => context.send(channel, queue, Buffer.from('x')))
    await context.consume(channel, queue, () => {
      if (attempts.push([message.get()?.attempt, requestId.get()]) < 3) throw new Error('again')
      third.resolve()
    })
    await third.promise
    await context.close()
    await channel.deleteQueue(pause)
    await channel.close()

    const id = (attempts[0] as unknown[])[1]
    expect(attempts).toEqual([1, 2, 3].map((attempt) => [attempt, id]))
  })

  it('has the first attempt of a message whose sender wrote another x-death', async () => {
    const context = amqpContext()
    const channel = await connection.createConfirmChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const attempts: unknown[] = []
    const all = Promise.withResolvers<void>()
    await context.consume(channel, queue, () => {
      if (attempts.push(message.get()?.attempt) === 3) all.resolve()
    })

    for (const deaths of ['x', [null, 1], [{ queue, reason: 'rejected', count: 'many' }]]) {
      await context.send(channel, queue, Buffer.from('x'), { headers: { 'x-death': deaths } })
    }
    await all.promise

    expect(attempts).toEqual([1, 1, 1])
    await context.close()
    await channel.close()
  })

  it('aborts the signal of a running message when its channel closes', async () => {
    const context = amqpContext({ onFailure() {} })
    const channel = await connection.createConfirmChannel()
    const queue = `jobs-${++queues}`
    await channel.assertQueue(queue, { autoDelete: true })
    const errors = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => errors.mockRestore())
    const [begun, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<unknown>()]

    await context.send(channel, queue, Buffer.from('x'))
    await context.consume(channel, queue, (_message, { signal }) => {
      signal.addEventListener('abort', () => ended.resolve(signal.reason))
      begun.resolve()
      return ended.promise
    })
    await begun.promise
    await channel.close()

    expect(await ended.promise).toMatchObject({
      name: 'AbortError',
      message: expect.stringContaining('channel closed'),
    })
    await context.close()
  })

  it('waits for running messages at a close also if a channel is closed already', async () => {
    const context = amqpContext({ onFailure() {} })
    const channel = await connection.createChannel()
    const queue = `jobs-${++queues}`
    await channel.assertQueue(queue, { autoDelete: true })
    const [entered, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const errors = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => errors.mockRestore())
    await context.consume(channel, queue, async () => {
      entered.resolve()
      await go.promise
    })
    channel.sendToQueue(queue, Buffer.from('x'))
    await entered.promise
    await channel.close()

    const closed = context.close({ timeoutMs: 100, graceMs: 1 })

    expect((await closed).unfinishedJobs).toMatchObject([{ queue }])
    go.resolve()
  })

  it('puts a message back whose handler stopped at the limit of the close', async () => {
    const context = amqpContext()
    const channel = await connection.createConfirmChannel()
    const queue = `jobs-${++queues}`
    await channel.assertQueue(queue, { autoDelete: false })
    const [begun, again] = [Promise.withResolvers<void>(), Promise.withResolvers<unknown>()]
    await runInScope(async () => {
      requestId.set('r-1')
      await context.send(channel, queue, Buffer.from('x'))
    })
    await context.consume(channel, queue, async (_message, { signal }) => {
      begun.resolve()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      throw signal.reason
    })
    await begun.promise

    const report = await context.close({ timeoutMs: 0, graceMs: 5000 })
    await amqpContext().consume(channel, queue, () => again.resolve([requestId.get(), message.get()?.attempt]))

    expect(report.unfinishedJobs).toMatchObject([{ queue, ended: true }])
    expect(await again.promise).toEqual(['r-1', 2])
    await channel.deleteQueue(queue)
    await channel.close()
  })

  it('carries the context through an RPC: the answer is a unit of its own, and its caller continues in its own', async () => {
    const context = amqpContext({ propagators: [w3cBaggage({ members: { tenant } })] })
    const channel = await connection.createConfirmChannel()
    const queue = `jobs-${++queues}`
    await channel.assertQueue(queue, { autoDelete: true })
    await context.consume(channel, queue, async ({ properties }) => {
      const answer = Buffer.from(`for ${tenant.get()}`)
      tenant.set('written by the service')
      await context.send(channel, String(properties.replyTo), answer, {
        correlationId: String(properties.correlationId),
      })
    })
    const replyTo = 'amq.rabbitmq.reply-to'
    const answered = Promise.withResolvers<string>()
    const answer = (content: Buffer) => answered.resolve(`${content.toString()}, in ${tenant.get()}`)
    await context.consume(channel, replyTo, ({ content }) => answer(content), { noAck: true })

    const seen = await runInScope(async () => {
      tenant.set('acme')
      await context.send(channel, queue, Buffer.from('x'), { replyTo, correlationId: '1' })
      return [await answered.promise, tenant.get()]
    })

    expect(seen).toEqual(['for acme, in written by the service', 'acme'])
    await context.close()
    await channel.close()
  })

  it('carries the context through an exchange of headers, and accepts a proxy of a channel', async () => {
    const context = amqpContext({ propagators: [w3cBaggage({ members: { tenant } })] })
    const channel = await connection.createConfirmChannel()
    const proxy = new Proxy(channel, { get: (target, key) => Reflect.get(target, key, target) as unknown })
    const exchange = `exchange-${++queues}`
    await channel.assertExchange(exchange, 'headers', { autoDelete: true })
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, exchange, '', { 'x-match': 'all', kind: 'order' })
    const seen = Promise.withResolvers<unknown>()
    await context.consume(proxy, queue, ({ properties }) => seen.resolve([properties.headers?.['kind'], tenant.get()]))

    runInScope(() => {
      tenant.set('acme')
      channel.publish(exchange, '', Buffer.from('x'), context.publishOptions(exchange, { headers: { kind: 'order' } }))
    })

    expect(await seen.promise).toEqual(['order', 'acme'])
    await context.close()
    await channel.close()
  })

  it('adds one listener to a channel with many consumers', async () => {
    const context = amqpContext()
    const channel = await connection.createChannel()
    const listeners = channel.listenerCount('close')
    for (let i = 0; i < 12; i++) {
      const { queue } = await channel.assertQueue('', { exclusive: true })
      await context.consume(channel, queue, () => {})
    }

    expect(channel.listenerCount('close')).toBe(listeners + 1)
    await context.close()
    await channel.close()
  })

  it.each(['x-request-id', 'X-Request-Id'])('keeps a header that the program has set: %s', (name) => {
    const { headers } = amqpContext().publishOptions('jobs', { headers: { [name]: 'mine', 'x-kind': 1 } })

    expect(headers).toMatchObject({ [name]: 'mine', 'x-kind': 1, traceparent: expect.stringMatching(/^00-/) })
    expect(Object.keys(headers as object).filter((key) => key.toLowerCase() === 'x-request-id')).toEqual([name])
  })

  it('rejects an enqueue that the broker does not confirm in time, or before it ends; a close does not wait for the broker', async () => {
    const channel = await connection.createConfirmChannel()
    channel.on('error', () => {})
    const send = (enqueueTimeoutMs: number) =>
      amqpContext({ enqueueTimeoutMs })
        .send(channel, 'jobs', Buffer.from('x'))
        .catch((error: unknown) => error)

    const consuming = amqpContext()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await consuming.consume(channel, queue, () => {})

    await server.suspend()
    const late = await send(100)
    const closed = await consuming.close({ timeoutMs: 50, graceMs: 0 })
    const lost = send(60_000)
    await server.kill()

    const open = { code: 'LCTX_ENQUEUE_TIMEOUT', message: expect.stringContaining('may accept') as string }
    expect(closed.unfinishedJobs).toEqual([])
    expect([late, await lost]).toMatchObject([open, { ...open, cause: { message: 'channel closed' } }])
    // Nothing was sent: the error is that of amqplib.
    expect(await send(100)).toMatchObject({ name: 'IllegalOperationError' })
  })
})

describe('amqpContext', () => {
  it.each([
    ['an unknown option', () => amqpContext({ queue: 'x' } as never), /amqpContext: unknown option 'queue'/],
    ['a limit that is not a number', () => amqpContext({ enqueueTimeoutMs: '1' } as never), /'enqueueTimeoutMs'/],
  ])('refuses %s', (_, call, message) => {
    expect(call).toThrow(message)
  })
})
