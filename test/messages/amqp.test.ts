import { type Channel, type ChannelModel, type ConfirmChannel, connect } from 'amqplib'
import { amqpContext } from 'logical-context/messages/amqp'
import { describeMessages } from 'logical-context/testing'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { rabbitProgram, startRabbit } from '../servers/rabbitmq.ts'
import { needs, type RunningServer } from '../servers/server.ts'

const { name, skip } = needs(rabbitProgram, 'rabbitmq-server')

describe.skipIf(skip)(`on RabbitMQ${name}`, () => {
  let server: RunningServer
  let connection: ChannelModel
  let queues = 0
  beforeAll(async () => {
    server = await startRabbit()
    connection = await connect(server.url)
  }, 120_000)
  afterAll(async () => {
    await connection.close()
    await server.stop()
  })

  describeMessages({ describe, it, expect }, 'amqplib', {
    async open(options) {
      const context = amqpContext({ onFailure() {}, ...options })
      const sender: ConfirmChannel = await connection.createConfirmChannel()
      const channels: Channel[] = [sender]
      const queue = `jobs-${++queues}`
      await sender.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
      return {
        enqueue: (data, policy) => context.send(sender, queue, Buffer.from(JSON.stringify(data)), policy && { policy }),
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
          await Promise.all(channels.map((channel) => channel.close()))
        },
      }
    },
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

  it.each(['x-request-id', 'X-Request-Id'])('keeps a header that the program has set: %s', (name) => {
    const { headers } = amqpContext().publishOptions('jobs', { headers: { [name]: 'mine', 'x-kind': 1 } })

    expect(headers).toMatchObject({ [name]: 'mine', 'x-kind': 1, traceparent: expect.stringMatching(/^00-/) })
    expect(Object.keys(headers as object).filter((key) => key.toLowerCase() === 'x-request-id')).toEqual([name])
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
