import { seen } from '../../../src/testing/message-engine.ts'

export { propagators, tenant } from '../../../src/testing/message-engine.ts'

/** A handler that prints what the job reads, and never ends the job. */
export async function report(): Promise<never> {
  const { trace, ...values } = seen()
  const { traceId, spanId, parentSpanId } = trace ?? {}
  console.log(JSON.stringify({ ...values, trace: { traceId, spanId, parentSpanId } }))
  return new Promise<never>(() => {})
}
