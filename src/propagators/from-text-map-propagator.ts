import { show } from '../options.ts'
import { traceOf } from '../variables/trace-context.ts'
import { attempt } from './attempt.ts'
import { adoptTrace, beginTrace, hasTrace } from './caller-trace.ts'
import type { Carrier } from './carrier.ts'
import { isFieldValue } from './header-field.ts'
import type { Refuse, Propagator } from './propagator.ts'
import {
  emptyOtelContext,
  ownSpan,
  spanOf,
  type TextMapGetterLike,
  type TextMapPropagatorLike,
  type TextMapSetterLike,
  withSpan,
} from './text-map-propagator.ts'

/**
 * A propagator of OpenTelemetry's as one of ours, for formats that are not here, such as AWS X-Ray. Only the trace
 * crosses: values go by `w3cBaggage`, which knows what a peer may set.
 *
 * What it throws is contained: a header it cannot read counts as malformed.
 *
 * @throws {TypeError} if it has no `fields()`, `extract()` and `inject()`.
 */
export function fromTextMapPropagator(propagator: TextMapPropagatorLike): Propagator {
  checkTextMapPropagator(propagator)
  const names = propagator.fields().map((name) => name.toLowerCase())
  // No values cross, so theirs is not its field.
  const fields = names.filter((name) => name !== 'baggage')
  const getter = getterOf(fields)

  return {
    fields,
    extract(context, carrier, peer) {
      if (hasTrace(context)) return context
      // It may read more than its fields, which are those that it writes.
      const caller = attempt(() => spanOf(propagator.extract(emptyOtelContext, carrier, getter)))
      const present = fields.find((name) => carrier.has(name))
      if (caller !== undefined) return adoptTrace(context, caller, peer, present ?? fields.join(', '))
      if (present !== undefined) peer.refuse('malformed', present)
      return beginTrace(context)
    },
    inject(context, carrier, destination) {
      const trace = traceOf(context)
      if (trace === undefined || !destination.trace) return
      attempt(() =>
        propagator.inject(
          withSpan(emptyOtelContext, ownSpan(trace), false),
          carrier,
          setterOf(carrier, destination.refuse),
        ),
      )
    },
  }
}

function checkTextMapPropagator(value: unknown): void {
  const { fields, extract, inject } = (value ?? {}) as Partial<TextMapPropagatorLike>
  if ([fields, extract, inject].every((method) => typeof method === 'function')) return
  throw new TypeError(
    `fromTextMapPropagator: expected a propagator with fields(), extract() and inject(), got ${show(value)}.`,
  )
}

function getterOf(fields: readonly string[]): TextMapGetterLike {
  return {
    keys: (carrier) => fields.filter((name) => (carrier as Carrier).has(name)),
    get: (carrier, key) => (carrier as Carrier).get(key.toLowerCase()),
  }
}

/** It may know nothing of what a caller has set, nor of what a header may hold. */
function setterOf(carrier: Carrier, refuse: Refuse): TextMapSetterLike {
  return {
    set(_carrier, key, value) {
      const field = key.toLowerCase()
      if (carrier.has(field)) return
      if (isFieldValue(value)) carrier.set(field, value)
      else refuse('malformed', field)
    },
  }
}
