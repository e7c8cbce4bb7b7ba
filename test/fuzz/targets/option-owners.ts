import { ContextVar, gather, openScope, race, runInScope, TaskGroup, withTaskGroup, withTimeout } from 'logical-context'
import { contextLogger, pinoMixin } from 'logical-context/bridges/pino'
import { openTelemetry } from 'logical-context/bridges/opentelemetry'
import { contextFetch } from 'logical-context/clients/fetch'
import { grpcClientInterceptor } from 'logical-context/clients/grpc'
import { inject } from 'logical-context/clients/inject'
import { instrumentNodeHttp } from 'logical-context/clients/node-http'
import { rewriteRequestHeaders } from 'logical-context/clients/reply-from'
import { undiciInterceptor } from 'logical-context/clients/undici'
import { grpcServerInterceptor } from 'logical-context/middleware/grpc'
import {
  b3,
  composite,
  requestTimeout,
  fromTextMapPropagator,
  xRequestId,
  toTextMapPropagator,
  w3cBaggage,
} from 'logical-context/propagators'
import { pino } from 'pino'
import { compileTrust } from '../../../src/propagators/trust.ts'

const nothing = () => undefined
const group = new TaskGroup({ name: 'fuzz', onError: nothing })
const logger = pino({ enabled: false })

/** Every public function that takes options, called with them and with nothing else that could be wrong. */
export const owners: ReadonlyMap<string, (options: never) => unknown> = new Map<string, (options: never) => unknown>([
  ['ContextVar', (options) => new ContextVar('fuzzed', options)],
  ['TaskGroup', (options) => new TaskGroup(options)],
  ['TaskGroup.spawn', (options) => group.spawn(nothing, options).result()],
  ['TaskGroup.drain', (options) => new TaskGroup({ name: 'drained', onError: nothing }).drain(options)],
  ['runInScope', (options) => runInScope(nothing, options)],
  ['gather', (options) => gather([nothing], options)],
  ['race', (options) => race([nothing], options)],
  ['withTaskGroup', (options) => withTaskGroup(nothing, options)],
  ['withTimeout', (options) => withTimeout(nothing, 1000, options)],
  ['openScope', (options) => openScope('scope', options)],
  ['b3', b3],
  ['composite', composite],
  ['compileTrust', compileTrust],
  ['requestTimeout', requestTimeout],
  ['fromTextMapPropagator', fromTextMapPropagator],
  ['xRequestId', xRequestId],
  ['toTextMapPropagator', (options) => toTextMapPropagator(b3(), options)],
  ['w3cBaggage', w3cBaggage],
  ['contextFetch.with', contextFetch.with],
  ['inject.with', inject.with],
  ['inject', (options) => inject({}, options)],
  ['undiciInterceptor', undiciInterceptor],
  ['instrumentNodeHttp', (options) => instrumentNodeHttp(options)[Symbol.dispose]()],
  ['rewriteRequestHeaders', rewriteRequestHeaders],
  ['grpcClientInterceptor', grpcClientInterceptor],
  ['grpcServerInterceptor', grpcServerInterceptor],
  ['pinoMixin', pinoMixin],
  ['contextLogger', (options) => contextLogger(logger, options)],
  ['openTelemetry', openTelemetry],
])
