import { isPromise } from '../callbacks.ts'
import { type Checks, checkOptions, show } from '../options.ts'
import { isFieldValue } from '../variables/header-text.ts'
import type { Sampling, TraceContext } from '../variables/trace-context.ts'
import type { Carrier } from './carrier.ts'
import { attempt, type Peer, type Propagator, type Refuse } from './propagator.ts'
import {
  emptyOtelContext,
  type OtelContextLike,
  ownSpan,
  spanOf,
  type TextMapGetterLike,
  type TextMapPropagatorLike,
  type TextMapSetterLike,
  withSpan,
} from './text-map-propagator.ts'
import { type CallerTrace, traceFormat, undecidedCheck, type UndecidedOption } from './trace-format.ts'

const checks: Checks = { undecided: undecidedCheck }

/**
 * An OpenTelemetry propagator as a propagator of this library, for formats that are not built in. It carries the trace
 * only: values go through `w3cBaggage`, which checks whether a peer may set them.
 *
 * If the propagator throws while it reads a header, the header counts as malformed.
 *
 * @throws {TypeError} if it has no `fields()`, `extract()` and `inject()`, or an option is unknown or has the wrong type.
 */
export function fromTextMapPropagator(propagator: TextMapPropagatorLike, options?: UndecidedOption): Propagator {
  checkTextMapPropagator(propagator)
  const { undecided } = checkOptions('fromTextMapPropagator', options, checks)
  const names = propagator.fields().map((name) => name.toLowerCase())
  // It carries no values, so it must not own the field of the values.
  const fields = names.filter((name) => name !== 'baggage')
  const getter: TextMapGetterLike = {
    keys: (carrier) => fields.filter((name) => (carrier as Carrier).has(name)),
    get: (carrier, key) => (carrier as Carrier).get(key.toLowerCase()),
  }

  function parse(carrier: Carrier, { refuse }: Peer): CallerTrace | undefined {
    // It may read more fields than `fields()`, which are those that it writes.
    const caller = attempt(() => {
      const found: OtelContextLike = propagator.extract(emptyOtelContext, carrier, getter)
      return isPromise(found) ? undefined : spanOf(found)
    })
    const present = fields.find((name) => carrier.has(name))
    if (caller !== undefined) return { ...caller, field: present ?? fields.join(', ') }
    if (present !== undefined) refuse('malformed', present)
    return undefined
  }

  function format(trace: TraceContext, sampling: Sampling, refuse: Refuse): [field: string, text: string][] {
    const lines: [field: string, text: string][] = []
    const setter: TextMapSetterLike = {
      set(_carrier, key, value) {
        const field = key.toLowerCase()
        if (isFieldValue(value)) lines.push([field, value])
        else refuse('malformed', field)
      },
    }
    attempt(() => isPromise(propagator.inject(withSpan(emptyOtelContext, ownSpan(trace, sampling), false), {}, setter)))
    return lines
  }

  return traceFormat({ fields, exclusive: [], undecided, parse, format })
}

function checkTextMapPropagator(value: unknown): void {
  const { fields, extract, inject } = (value ?? {}) as Partial<TextMapPropagatorLike>
  if ([fields, extract, inject].every((method) => typeof method === 'function')) return
  throw new TypeError(
    `fromTextMapPropagator: expected a propagator with fields(), extract() and inject(), got ${show(value)}.`,
  )
}
