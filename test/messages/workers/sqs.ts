import { ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { sqsContext } from 'logical-context/messages/sqs'
import { propagators, report } from './report.ts'

const [, , endpoint = '', QueueUrl = ''] = process.argv
const context = sqsContext({ propagators })
const client = new SQSClient({ endpoint, region: 'us-east-1', credentials: { accessKeyId: 'x', secretAccessKey: 'y' } })

for (;;) {
  const command = new ReceiveMessageCommand({ QueueUrl, VisibilityTimeout: 1, ...context.receive })
  const { Messages = [] } = await client.send(command)
  for (const message of Messages) await context.process('jobs', message, report)
  await new Promise((resolve) => setTimeout(resolve, 50))
}
