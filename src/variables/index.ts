export { Baggage, baggage } from './baggage.ts'
export type { BaggageEntry, BaggageProperty } from './baggage-entry.ts'
export { deadline } from './deadline.ts'
export { newIdentity } from './new-identity.ts'
export { isRequestId, newRequestId, requestId } from './request-id.ts'
export {
  randomFlag,
  sampledFlag,
  type Sampling,
  type SpanLink,
  TraceContext,
  traceContext,
  type TraceContextInit,
} from './trace-context.ts'
export { Tracestate } from './tracestate.ts'
