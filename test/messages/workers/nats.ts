import { jetstream } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { natsContext } from 'logical-context/messages/nats'
import { propagators, report } from './report.ts'

const [, , servers = '', subject = ''] = process.argv
const context = natsContext({ propagators })
const consumer = await jetstream(await connect({ servers })).consumers.get(subject, 'worker')

for await (const message of await consumer.consume()) void context.process(message, report)
