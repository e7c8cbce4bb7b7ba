import { Worker } from 'bullmq'
import { bullContext } from 'logical-context/messages/bullmq'
import { propagators, report } from './report.ts'

const [, , port, queue = ''] = process.argv
const { processor, telemetry } = bullContext({ propagators })
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null }
const limits = { lockDuration: 1000, stalledInterval: 200, maxStalledCount: 5 }

export const worker = new Worker(queue, processor(report), { connection, telemetry, ...limits })
