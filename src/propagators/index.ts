export { b3, type B3Options } from './b3.ts'
export type { BaggageCodec } from './baggage-member.ts'
export {
  type Carrier,
  carrierOf,
  type CarrierSource,
  type HeaderList,
  type HeaderObject,
  type HeadersLike,
  incomingCarrier,
} from './carrier.ts'
export { composite } from './composite.ts'
export { requestTimeout, type RequestTimeoutOptions } from './request-timeout.ts'
export { fromTextMapPropagator } from './from-text-map-propagator.ts'
export { jaeger } from './jaeger.ts'
export { type Refuse, type RefusalReason, type Destination, mayTell, type Peer, type Propagator } from './propagator.ts'
export { xRequestId, type XRequestIdOptions } from './x-request-id.ts'
export type {
  OtelContextLike,
  TextMapGetterLike,
  TextMapPropagatorLike,
  TextMapSetterLike,
} from './text-map-propagator.ts'
export { otelContextKey, toTextMapPropagator, type ToTextMapPropagatorOptions } from './to-text-map-propagator.ts'
export { compileTrust, type TrustOptions, type Verdict } from './trust.ts'
export { w3cBaggage, type W3cBaggageOptions } from './w3c-baggage.ts'
export { w3cTraceContext } from './w3c-trace-context.ts'
