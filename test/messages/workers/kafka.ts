import { Kafka, logLevel } from 'kafkajs'
import { kafkaContext } from 'logical-context/messages/kafka'
import { propagators, report } from './report.ts'

const [, , topic = '', ...brokers] = process.argv
const context = kafkaContext({ propagators })
const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING })
const consumer = kafka.consumer({ groupId: topic, sessionTimeout: 4000, heartbeatInterval: 500, maxWaitTimeInMs: 50 })

await consumer.subscribe({ topic, fromBeginning: true })
await consumer.run({ eachMessage: ({ message }) => context.process(topic, message, report) })
