import { connect } from 'amqplib'
import { amqpContext } from 'logical-context/messages/amqp'
import { propagators, report } from './report.ts'

const [, , url = '', queue = ''] = process.argv
const connection = await connect(url)

await amqpContext({ propagators }).consume(await connection.createChannel(), queue, report)
