import { callContained } from '../callbacks.ts'
import { current } from '../context/current.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { aBoolean, aFunction, anyOf, type Checks, checkOptions, oneOf, show } from '../options.ts'
import { TraceContext, traceContext } from '../variables/trace-context.ts'
import { type Carrier, textOf } from './carrier.ts'
import { compilePropagators } from './composite.ts'
import { type Destination, isPropagator, type Peer, type Propagator, type Refuse } from './propagator.ts'
import {
  type OtelContextLike,
  spanOf,
  type TextMapGetterLike,
  type TextMapPropagatorLike,
  type TextMapSetterLike,
  withSpan,
} from './text-map-propagator.ts'

/** Options of `toTextMapPropagator`. */
export interface ToTextMapPropagatorOptions {
  /** What is accepted from the carriers that are read. Default: the trace is continued, no values. */
  peer?: Partial<Peer>
  /** What is written to carriers. Default: the trace, no values. */
  destination?: Partial<Destination>
}

/** The key of our context in an OpenTelemetry context. `createContextKey('logical-context')` returns the same key. */
const contextKey: unique symbol = Symbol.for('logical-context') as never

/** Marks a context in which tracing is suppressed. The SDK makes its keys by `Symbol.for`. */
const suppressedKey: symbol = Symbol.for('OpenTelemetry SDK Context Key SUPPRESS_TRACING')

const anObject = anyOf('an object', (value) => typeof value === 'object' && value !== null)
const checks: Checks = { peer: anObject, destination: anObject }
const peerChecks: Checks = { trace: oneOf('continue', 'restart', 'ignore'), values: aBoolean, refuse: aFunction }
const destinationChecks: Checks = {
  trace: aBoolean,
  values: anyOf('a boolean or an array of variables', (value) => typeof value === 'boolean' || Array.isArray(value)),
  refuse: aFunction,
}

/**
 * A propagator of this library for OpenTelemetry's API. `extract` returns an OpenTelemetry context with the caller's span
 * as its remote span, and with all variables under `createContextKey('logical-context')`. `inject` writes the active
 * span of the OpenTelemetry context and its variables; without variables, those of the current unit. It writes nothing
 * in a context with suppressed tracing, as the propagators of OpenTelemetry.
 *
 * @throws {TypeError} if it is not a propagator, or an option is unknown or has the wrong type.
 */
export function toTextMapPropagator(
  propagator: Propagator,
  options?: ToTextMapPropagatorOptions,
): TextMapPropagatorLike {
  if (!isPropagator(propagator)) {
    throw new TypeError(`toTextMapPropagator: expected a propagator, got ${show(propagator)}.`)
  }
  const compiled = compilePropagators('toTextMapPropagator:', [propagator])
  const owner = 'toTextMapPropagator'
  const given = checkOptions(owner, options, checks)
  const peer: Peer = peerOf(checkOptions(`${owner}: option 'peer'`, given.peer, peerChecks))
  const destination = destinationOf(
    checkOptions(`${owner}: option 'destination'`, given.destination, destinationChecks),
  )

  return {
    fields: () => [...compiled.fields],
    extract(context, carrier, getter) {
      const found = compiled.extract(LogicalContext.empty, readerOf(carrier, getter), peer)
      const trace = found.get(traceContext)
      const withVariables = context.setValue(contextKey, found)
      if (trace?.parentSpanId === undefined) return withVariables
      const { traceId, parentSpanId: spanId, flags, state } = trace
      return withSpan(withVariables, { traceId, spanId, flags, state }, true)
    },
    inject(context, carrier, setter) {
      if (context.getValue(suppressedKey) === true) return
      compiled.inject(withActiveSpan(variablesOf(context), context), writerOf(carrier, setter), destination)
    },
  }
}

function peerOf({ trace = 'continue', values = false, refuse = ignore }: Partial<Peer>): Peer {
  return { trace, values, refuse: contained(refuse) }
}

function destinationOf({ trace = true, values = false, refuse = ignore }: Partial<Destination>): Destination {
  return { trace, values, refuse: contained(refuse) }
}

function contained(refuse: Refuse): Refuse {
  return (reason, field) => callContained("toTextMapPropagator, option 'refuse'", refuse, reason, field)
}

function variablesOf(context: OtelContextLike): LogicalContext {
  return (context.getValue(contextKey) as LogicalContext | undefined) ?? current()
}

function withActiveSpan(variables: LogicalContext, context: OtelContextLike): LogicalContext {
  const span = spanOf(context)
  if (span === undefined) return variables
  const known = variables.get(traceContext)
  // OpenTelemetry cannot express `debug`, so the trace keeps its own.
  const isDebug = known?.sampling === 'debug' && known.traceId === span.traceId
  const sampling = isDebug ? known.sampling : undefined
  return variables.with(traceContext, new TraceContext({ ...span, parentSpanId: known?.parentSpanId, sampling }))
}

function readerOf(carrier: unknown, getter: TextMapGetterLike): Carrier {
  const get = (name: string) => textOf(getter.get(carrier, name))
  return { get, has: (name) => get(name) !== undefined, set() {} }
}

/** OpenTelemetry's setters do not say which fields are set, so only the fields that are written here count. */
function writerOf(carrier: unknown, setter: TextMapSetterLike): Carrier {
  const written = new Map<string, string>()
  return {
    get: (name) => written.get(name),
    has: (name) => written.has(name),
    set(name, value) {
      written.set(name, value)
      setter.set(carrier, name, value)
    },
  }
}

function ignore(): void {}
