import { Worker } from 'bullmq'
import { ContextVar } from 'logical-context'
import { bullContext } from 'logical-context/messages/bullmq'
import { w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { message, requestId, traceContext } from 'logical-context/variables'

/** A worker process that prints what a job sees, and never ends the job. */
const tenant = new ContextVar<string>('tenant')
const context = bullContext({ propagators: [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { tenant } })] })
const processor = context.processor(async () => {
  const trace = traceContext.get()
  const seen = { traceId: trace?.traceId, spanId: trace?.spanId, attempt: message.get()?.attempt }
  console.log(JSON.stringify({ tenant: tenant.get(), requestId: requestId.get(), ...seen }))
  await new Promise(() => {})
})
const connection = { host: '127.0.0.1', port: Number(process.argv[2]), maxRetriesPerRequest: null }
const limits = { lockDuration: 500, stalledInterval: 200, maxStalledCount: 5 }

export const worker = new Worker('killed', processor, { connection, telemetry: context.telemetry, ...limits })
