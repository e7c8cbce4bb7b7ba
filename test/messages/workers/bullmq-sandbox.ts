import { message, requestId, traceContext } from 'logical-context/variables'
import { bullContext } from 'logical-context/messages/bullmq'
import { propagators, tenant } from './report.ts'

/** A sandboxed processor: BullMQ runs it in a process of its own. */
export default bullContext({ propagators }).processor((job) => ({
  name: job.name,
  tenant: tenant.get(),
  requestId: requestId.get(),
  traceId: traceContext.get()?.traceId,
  attempt: message.get()?.attempt,
}))
