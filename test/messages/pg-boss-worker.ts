import { ContextVar } from 'logical-context'
import { openBoss } from 'logical-context/messages/pg-boss'
import { w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { message, requestId, traceContext } from 'logical-context/variables'

/** A worker process that prints what a job sees, and never ends the job. */
const tenant = new ContextVar<string>('tenant')
const propagators = [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { tenant } })]
const context = await openBoss({
  url: String(process.argv[2]),
  propagators,
  boss: { schedule: false, superviseIntervalSeconds: 1, monitorIntervalSeconds: 1 },
})

await context.work('killed', { pollingIntervalSeconds: 0.5 }, async () => {
  const trace = traceContext.get()
  const seen = { traceId: trace?.traceId, spanId: trace?.spanId, attempt: message.get()?.attempt }
  console.log(JSON.stringify({ tenant: tenant.get(), requestId: requestId.get(), ...seen }))
  await new Promise(() => {})
})
