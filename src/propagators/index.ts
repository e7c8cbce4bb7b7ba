export { awsXRay, type AwsXRayOptions } from './aws-x-ray.ts'
export { b3, type B3Options } from './b3.ts'
export type { BaggageCodec } from './baggage-members.ts'
export {
  type Carrier,
  carrierOf,
  type CarrierSource,
  type HeaderList,
  type HeaderObject,
  type HeadersLike,
  type MessageHeadersLike,
} from './carrier.ts'
export { composite } from './composite.ts'
export { childEnvironment, type Environment, environmentCarrier } from './environment-carrier.ts'
export { fromTextMapPropagator } from './from-text-map-propagator.ts'
export { jaeger } from './jaeger.ts'
export { json, type StandardSchemaLike } from './json.ts'
export {
  type Destination,
  type ExtractOptions,
  mayInject,
  type Peer,
  type Propagator,
  type RefusalReason,
  type Refuse,
} from './propagator.ts'
export { sentry } from './sentry.ts'
export { requestTimeout, type RequestTimeoutOptions } from './request-timeout.ts'
export type {
  OtelContextLike,
  TextMapGetterLike,
  TextMapPropagatorLike,
  TextMapSetterLike,
} from './text-map-propagator.ts'
export type { UndecidedOption } from './trace-format.ts'
export { toTextMapPropagator, type ToTextMapPropagatorOptions } from './to-text-map-propagator.ts'
export type { Verdict } from './trust.ts'
export { w3cBaggage, type W3cBaggageOptions } from './w3c-baggage.ts'
export { w3cTraceContext } from './w3c-trace-context.ts'
export { type GenerateRequest, xRequestId, type XRequestIdOptions } from './x-request-id.ts'
