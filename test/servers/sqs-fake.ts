import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'

interface StoredMessage {
  readonly MessageId: string
  readonly Body: string
  readonly MessageAttributes: unknown
  receiveCount: number
  visibleAt: number
}

/** The fields of all requests that the fake knows. */
interface Input {
  readonly QueueUrl: string
  readonly MessageBody: string
  readonly MessageAttributes: unknown
  readonly ReceiptHandle: string
  readonly VisibilityTimeout?: number
}

/** A fake of the part of Amazon SQS that the tests use: send, receive, change visibility, delete. In memory. */
export async function startSqsFake(): Promise<{ endpoint: string; stop: () => Promise<void> }> {
  const queues = new Map<string, StoredMessage[]>()
  const of = (url: string) => {
    const messages = queues.get(url) ?? []
    queues.set(url, messages)
    return messages
  }
  const actions: Record<string, (input: Input) => object> = {
    SendMessage({ QueueUrl, MessageBody, MessageAttributes }) {
      const stored = { MessageId: randomUUID(), Body: MessageBody, MessageAttributes, receiveCount: 0, visibleAt: 0 }
      of(QueueUrl).push(stored)
      return { MessageId: stored.MessageId, MD5OfMessageBody: createHash('md5').update(MessageBody).digest('hex') }
    },
    ReceiveMessage({ QueueUrl, VisibilityTimeout = 30 }) {
      const found = of(QueueUrl).find(({ visibleAt }) => visibleAt <= Date.now())
      if (found === undefined) return {}
      found.receiveCount++
      found.visibleAt = Date.now() + VisibilityTimeout * 1000
      const { MessageId, Body, MessageAttributes } = found
      const Attributes = { ApproximateReceiveCount: String(found.receiveCount) }
      const MD5OfBody = createHash('md5').update(Body).digest('hex')
      return { Messages: [{ MessageId, ReceiptHandle: MessageId, Body, MD5OfBody, MessageAttributes, Attributes }] }
    },
    ChangeMessageVisibility({ QueueUrl, ReceiptHandle, VisibilityTimeout = 0 }) {
      const found = of(QueueUrl).find(({ MessageId }) => MessageId === ReceiptHandle)
      if (found !== undefined) found.visibleAt = Date.now() + VisibilityTimeout * 1000
      return {}
    },
    DeleteMessage({ QueueUrl, ReceiptHandle }) {
      queues.set(
        QueueUrl,
        of(QueueUrl).filter(({ MessageId }) => MessageId !== ReceiptHandle),
      )
      return {}
    },
  }
  const server = createServer((request, response) => {
    void json(request).then((input) => {
      const action = String(request.headers['x-amz-target']).split('.').at(-1) ?? ''
      const answer = actions[action]?.(input as Input) ?? {}
      response.setHeader('content-type', 'application/x-amz-json-1.0').end(JSON.stringify(answer))
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
