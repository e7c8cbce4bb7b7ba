import { setTimeout } from 'node:timers/promises'
import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { runInScope } from 'logical-context'
import { sqsContext } from 'logical-context/messages/sqs'
import { describeMessages } from 'logical-context/testing'
import { message, requestId } from 'logical-context/variables'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startSqsFake } from '../servers/sqs-fake.ts'
import { startWorkerProcess } from './worker-process.ts'

describe('on a fake of SQS', () => {
  let fake: Awaited<ReturnType<typeof startSqsFake>>
  let client: SQSClient
  let queues = 0
  beforeAll(async () => {
    fake = await startSqsFake()
    const credentials = { accessKeyId: 'x', secretAccessKey: 'y' }
    client = new SQSClient({ endpoint: fake.endpoint, region: 'us-east-1', credentials })
  })
  afterAll(async () => {
    client.destroy()
    await fake.stop()
  })

  describeMessages({ describe, it, expect }, '@aws-sdk/client-sqs', {
    startWorker: ({ name = '' }) => startWorkerProcess('sqs', fake.endpoint, name),
    async open(options) {
      const context = sqsContext(options)
      const QueueUrl = `${fake.endpoint}/1/jobs-${++queues}`
      let stopped = false
      const loops: Promise<void>[] = []
      const receive = async (run: (text: string, message: never) => Promise<unknown>): Promise<void> => {
        while (!stopped) {
          const { Messages: [message] = [] } = await client.send(
            new ReceiveMessageCommand({ QueueUrl, ...context.receive }),
          )
          if (message === undefined) {
            await setTimeout(5)
            continue
          }
          const { ReceiptHandle, Body = '' } = message
          const found = { QueueUrl, ReceiptHandle }
          const succeeded = await run(Body, message as never).then(
            () => true,
            () => false,
          )
          if (succeeded) await client.send(new DeleteMessageCommand(found))
          else await client.send(new ChangeMessageVisibilityCommand({ ...found, VisibilityTimeout: 0 }))
        }
      }
      return {
        name: QueueUrl,
        enqueue: async (data, policy) =>
          client.send(
            new SendMessageCommand({
              QueueUrl,
              MessageBody: JSON.stringify(data),
              MessageAttributes: { ...context.attributes('jobs', policy) },
            }),
          ),
        enqueueRaw: (data, fields) =>
          client.send(
            new SendMessageCommand({
              QueueUrl,
              MessageBody: JSON.stringify(data),
              MessageAttributes: { 'logical-context': { DataType: 'String', StringValue: JSON.stringify(fields) } },
            }),
          ),
        async work(handler) {
          const run = (text: string, message: never) =>
            context.process('jobs', message, (scope) => handler(JSON.parse(text) as Record<string, unknown>, scope))
          loops.push(receive(run), receive(run))
        },
        closeWorkers(closeOptions) {
          stopped = true
          return context.close(closeOptions)
        },
        async close() {
          stopped = true
          await Promise.all(loops)
        },
      }
    },
  })
})

describe('sqsContext', () => {
  it('runs a message whose attribute is not JSON', async () => {
    const sqs = sqsContext()
    const broken = { MessageAttributes: { 'logical-context': { StringValue: '{' } } }

    expect(await sqs.process('jobs', broken, () => 'done')).toBe('done')
    expect(sqs.messages.counters.malformed).toBe(1)
  })

  it('reads a record of an event of AWS Lambda', async () => {
    const sqs = sqsContext()
    const sent = runInScope(() => {
      requestId.set('r-1')
      return sqs.attributes('jobs')['logical-context'].StringValue
    })
    const record = {
      messageId: 'm-1',
      attributes: { ApproximateReceiveCount: '2', SentTimestamp: '1523232000000' },
      messageAttributes: { 'logical-context': { stringValue: sent, dataType: 'String' } },
    }

    const read = await sqs.process('jobs', record, () => [requestId.get(), message.get()])

    expect(read).toMatchObject(['r-1', { id: 'm-1', attempt: 2 }])
  })

  it('aborts the signal of a message with the signal of the program, for example at the visibility timeout', async () => {
    const visible = new AbortController()
    const reason = new Error('the message is visible again')

    const aborted = sqsContext().process(
      'jobs',
      {},
      ({ signal }) => {
        visible.abort(reason)
        return signal.reason as unknown
      },
      { signal: visible.signal },
    )

    expect(await aborted).toBe(reason)
    await expect(sqsContext().process('jobs', {}, () => {}, { signal: 'x' as never })).rejects.toThrow(
      /process: option 'signal' expected an AbortSignal/,
    )
  })

  it('writes one attribute', () => {
    expect(Object.keys(sqsContext().attributes('jobs'))).toEqual(['logical-context'])
  })

  it('refuses an unknown option', () => {
    expect(() => sqsContext({ region: 'x' } as never)).toThrow(/sqsContext: unknown option 'region'/)
  })
})
