import type { Baggage as OtelBaggage, BaggageEntry, Context } from '@opentelemetry/api'
import { peek } from '../../context/context-var.ts'
import { Baggage, baggage } from '../../variables/baggage.ts'
import {
  type BaggageProperty,
  decodeProperty,
  encodeBaggageText,
  parseProperties,
} from '../../variables/baggage-grammar.ts'
import { Annotation } from './annotation.ts'
import type { OpenTelemetryApi } from './index.ts'

/** OpenTelemetry's API stores the baggage under this key in its context. It makes its keys by `Symbol.for`. */
const baggageKey: symbol = Symbol.for('OpenTelemetry Baggage Key')

/** Baggage that was put into an OpenTelemetry context, and the unit's own baggage at that time. */
interface Override {
  readonly baggage: OtelBaggage | undefined
  readonly own: Baggage | undefined
}

/** Makes our baggage and OpenTelemetry's the same: the one that was set last counts. */
export class SharedBaggage {
  readonly #api: OpenTelemetryApi
  readonly #theirs = new Annotation<Baggage, OtelBaggage>()
  readonly #ours = new Annotation<OtelBaggage, Baggage>()

  constructor(api: OpenTelemetryApi) {
    this.#api = api
  }

  /** A context that reads the baggage of the current unit, until baggage is put into it. Its present baggage is ignored. */
  live(context: Context): Context {
    return new LiveContext(this, context instanceof LiveContext ? context.base : context, undefined)
  }

  /** The value of `baggage.get()` where the unit has `own`. */
  read(own: Baggage | undefined): Baggage | undefined {
    const active = this.#api.context.active()
    if (!(active instanceof LiveContext)) {
      const theirs = active.getValue(baggageKey) as OtelBaggage | undefined
      return own ?? (theirs && this.toOurs(theirs))
    }
    const { override } = active
    if (override === undefined || override.own !== own) return own
    return override.baggage && this.toOurs(override.baggage)
  }

  toOurs(theirs: OtelBaggage): Baggage {
    let ours = this.#ours.get(theirs)
    if (ours === undefined) this.#ours.set(theirs, (ours = theirs.getAllEntries().reduce(withEntry, Baggage.empty)))
    return ours
  }

  toTheirs(ours: Baggage): OtelBaggage {
    let theirs = this.#theirs.get(ours)
    if (theirs === undefined) {
      const { propagation, baggageEntryMetadataFromString } = this.#api
      theirs = propagation.createBaggage()
      for (const [key, { value, properties }] of ours) {
        const text = properties.map(formatProperty).join(';')
        const entry = text === '' ? { value } : { value, metadata: baggageEntryMetadataFromString(text) }
        theirs = theirs.setEntry(key, entry)
      }
      this.#theirs.set(ours, theirs)
      this.#ours.set(theirs, ours)
    }
    return theirs
  }
}

/** An OpenTelemetry context that reads the baggage of the current unit. */
class LiveContext implements Context {
  readonly override: Override | undefined
  readonly #shared: SharedBaggage
  readonly base: Context

  constructor(shared: SharedBaggage, base: Context, override: Override | undefined) {
    this.#shared = shared
    this.base = base
    this.override = override
  }

  getValue(key: symbol): unknown {
    if (key !== baggageKey) return this.base.getValue(key)
    const own = peek(baggage)
    if (this.override !== undefined && this.override.own === own) return this.override.baggage
    return own && this.#shared.toTheirs(own)
  }

  setValue(key: symbol, value: unknown): Context {
    if (key !== baggageKey) return new LiveContext(this.#shared, this.base.setValue(key, value), this.override)
    const override = { baggage: value as OtelBaggage | undefined, own: peek(baggage) }
    return new LiveContext(this.#shared, this.base, override)
  }

  deleteValue(key: symbol): Context {
    if (key === baggageKey) return this.setValue(key, undefined)
    return new LiveContext(this.#shared, this.base.deleteValue(key), this.override)
  }
}

/** Drops an entry that W3C Baggage cannot express. */
function withEntry(known: Baggage, [key, { value, metadata }]: [string, BaggageEntry]): Baggage {
  const text = metadata?.toString() ?? ''
  const properties = text === '' ? [] : (parseProperties(text) ?? []).map(decodeProperty)
  try {
    return known.set(key, value, properties)
  } catch {
    return known
  }
}

function formatProperty([key, value]: BaggageProperty): string {
  return value === undefined ? key : `${key}=${encodeBaggageText(value)}`
}
