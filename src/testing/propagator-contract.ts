import { inspect, isDeepStrictEqual } from 'node:util'
import type { AnyContextVar } from '../context/context-var.ts'
import { LogicalContext } from '../context/logical-context.ts'
import { anyOf, checkArgument, checkFunction } from '../options.ts'
import { type CarrierSource, carrierOf } from '../propagators/carrier.ts'
import type { Propagator } from '../propagators/propagator.ts'
import { TraceContext, traceContext } from '../variables/trace-context.ts'
import { extractFrom, fakeCarrier, injectInto } from './carriers.ts'
import { checkRunner, type TestRunner } from './runner.ts'

/** The inputs with which the contract suite calls a propagator. */
export interface PropagatorSamples {
  /** Contexts that it can write completely. At least one; a generator of random contexts finds more. */
  contexts: readonly LogicalContext[]
  /** What it carries besides the trace. Default: nothing. */
  variables?: readonly AnyContextVar[]
  /** Whether it carries the trace. Default: false. */
  trace?: boolean
  /** Texts of its fields: valid, and almost valid. At least one. The suite adds hostile ones. */
  texts: readonly string[]
}

const aSampleSet = anyOf('samples with arrays of contexts and texts', (value) => {
  const { contexts, texts } = Object(value) as Partial<PropagatorSamples>
  return Array.isArray(contexts) && Array.isArray(texts)
})

/**
 * Defines the tests that every propagator must pass. `make` returns a new propagator.
 *
 * @throws {TypeError} without contexts or texts.
 */
export function describePropagator(
  runner: TestRunner,
  name: string,
  make: () => Propagator,
  inputs: PropagatorSamples,
): void {
  checkRunner('describePropagator', runner)
  checkFunction('describePropagator', make)
  checkArgument('describePropagator', aSampleSet, inputs)
  const { describe, it, expect } = runner
  const { contexts, variables = [], trace = false, texts } = inputs
  if (contexts.length === 0 || texts.length === 0) {
    throw new TypeError('describePropagator: expected samples with at least one context and one text, got none.')
  }
  const carried = trace ? [traceContext as unknown as AnyContextVar, ...variables] : variables

  /** Expects that a check of each sample reports no problem. */
  const check = <Sample>(samples: readonly Sample[], problemsOf: (sample: Sample) => readonly unknown[]): void => {
    const problems = samples.flatMap((sample) => problemsOf(sample).map((problem) => inspect({ problem, sample })))
    expect(problems.slice(0, 5)).toEqual([])
  }
  const test = (title: string, body: () => void) => it(title, async () => body())

  describe(`${name}, as every propagator`, () => {
    test('lists its fields once, in lower case', () => {
      const { fields } = make()

      expect(fields.length > 0).toEqual(true)
      expect([...fields]).toEqual([...new Set(fields)].map((field) => field.toLowerCase()))
    })

    test('extracts what it injects', () => {
      const propagator = make()

      check(contexts, (context) => {
        const { headers } = injectInto(propagator, context)
        const read = extractFrom(propagator, headers)
        const lost = variables.filter((variable) => !isSame(read.context.get(variable), context.get(variable)))
        const isChild = !trace || isChildOf(read.context.get(traceContext), context.get(traceContext))
        return [...read.refusals, ...lost.map(String), ...(isChild ? [] : ['the trace is not continued'])]
      })
    })

    test('is stable: extract, then inject, hop after hop', () => {
      const propagator = make()
      const hop = (headers: Record<string, string>) =>
        injectInto(propagator, extractFrom(propagator, headers).context).headers

      check(headersOf(propagator, texts), (headers) => {
        // The first hop may begin a trace, which has no span above it before the second.
        const second = hop(hop(headers))
        const third = hop(second)
        const before = extractFrom(propagator, second).context
        const after = extractFrom(propagator, third).context
        const changed = carried.filter((variable) => shown(after.get(variable)) !== shown(before.get(variable)))
        const sameFields = isDeepStrictEqual(Object.keys(third), Object.keys(second))
        return [...changed.map(String), ...(sameFields ? [] : [{ second, third }])]
      })
    })

    test('reads every form of carrier in the same way', () => {
      const propagator = make()

      check(contexts, (context) => {
        const { headers } = injectInto(propagator, context)
        const entries = Object.entries(headers)
        const upper = entries.map(([key, value]): [string, string] => [key.toUpperCase(), value])
        const forms: CarrierSource[] = [
          new Headers(headers),
          new Map(entries),
          entries,
          upper.flat(),
          Object.fromEntries(upper),
        ]
        return forms.filter((form) => {
          const read = extractFrom(propagator, form).context
          const sameTrace = !trace || read.get(traceContext)?.traceId === context.get(traceContext)?.traceId
          return !sameTrace || variables.some((variable) => shown(read.get(variable)) !== shown(context.get(variable)))
        })
      })
    })

    for (const verdict of ['continue', 'restart', 'ignore'] as const) {
      for (const values of [true, false]) {
        test(`does not throw for any header, with trace '${verdict}' and values ${values}`, () => {
          const propagator = make()

          check(headersOf(propagator, [...texts.slice(0, 50), ...hostileTexts]), (headers) => {
            const read = extractFrom(propagator, headers, { trace: verdict, values })
            const written = injectInto(propagator, read.context)
            const unwritable = Object.values(written.headers).filter((text) => !/^[\t\x20-\x7e]*$/.test(text))
            return read.refusals.length < 100 ? unwritable : [`${read.refusals.length} refusals`]
          })
        })
      }
    }

    test('accepts no values from a peer that may set none, and no trace with ignore', () => {
      const propagator = make()

      check(contexts, (context) => {
        const { headers } = injectInto(propagator, context)
        const { context: read } = extractFrom(propagator, headers, { trace: 'ignore', values: false })
        const set = carried.filter((variable) => context.has(variable))
        return set.filter((variable) => shown(read.get(variable)) === shown(context.get(variable))).map(String)
      })
    })

    test('writes nothing for an empty context, and nothing that a destination may not receive', () => {
      const propagator = make()

      check(contexts, (context) => {
        const written = [
          injectInto(propagator, LogicalContext.empty).headers,
          injectInto(propagator, context, { trace: false, values: false }).headers,
          injectInto(propagator, context, { trace: false, values: [] }).headers,
        ]
        return written.filter((headers) => Object.keys(headers).length > 0)
      })
    })

    test('overwrites no field that is set', () => {
      const propagator = make()
      const own = Object.fromEntries(propagator.fields.map((field) => [field, 'own']))

      check(contexts, (context) => {
        const { headers } = injectInto(propagator, context, {}, { ...own })
        return isDeepStrictEqual(headers, own) ? [] : [headers]
      })
    })

    test('uses its own fields only, and writes none in extract', () => {
      const propagator = make()
      const isForeign = (field: string) => !propagator.fields.includes(field)

      check(contexts, (context) => {
        const sent = fakeCarrier()
        propagator.inject(context, sent, { trace: true, values: true, refuse() {} })
        const received = fakeCarrier(sent.fields)
        propagator.extract(LogicalContext.empty, received, { trace: 'continue', values: true, refuse() {} })
        return [...[...sent.read, ...sent.written, ...received.read].filter(isForeign), ...received.written]
      })
    })

    test('refuses nothing in an empty carrier', () => {
      for (const verdict of ['continue', 'restart', 'ignore'] as const) {
        expect(extractFrom(make(), {}, { trace: verdict, values: false }).refusals).toEqual([])
      }
    })

    test('does not change Object.prototype', () => {
      const before = Object.getOwnPropertyNames(Object.prototype)
      const headers = JSON.parse('{"__proto__":"x","constructor":"y"}') as Record<string, string>

      make().extract(LogicalContext.empty, carrierOf(headers), { trace: 'continue', values: true, refuse() {} })

      expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before)
    })
  })
}

function isChildOf(found: TraceContext | undefined, above: TraceContext | undefined): boolean {
  const isInTrace = found?.traceId === above?.traceId && found?.parentSpanId === above?.spanId
  return isInTrace && (above?.sampling === 'defer' || found?.sampled === above?.sampled)
}

/** Values of classes with private fields are compared by their text, too. */
function isSame(found: unknown, expected: unknown): boolean {
  return isDeepStrictEqual(found, expected) && shown(found) === shown(expected)
}

function shown(value: unknown): string {
  return value instanceof TraceContext ? `${value.traceId} ${value.flags}` : String(value)
}

/** Texts that are expensive for a careless parser, or valid nowhere. The same in each run. */
const hostileTexts: readonly string[] = [...repeatedPieces(), ...randomTexts(100)]

/** Headers of a propagator: each text in each of its fields, combined with others, and with fields missing. */
function headersOf({ fields }: Propagator, texts: readonly string[]): Record<string, string>[] {
  return texts.flatMap((text, index) => {
    const others = fields.map((_, at) => texts[(index * (at + 2) + at) % texts.length] ?? '')
    return fields.flatMap((field, at) => [
      { [field]: text },
      Object.fromEntries(fields.map((name, other) => [name, other === at ? text : (others[other] ?? '')])),
    ])
  })
}

function repeatedPieces(): string[] {
  const pieces = [' ', '\t', ',', '=', ';', '%', '%C3', ':', '-', 'a', '0', 'a=,', '\u00a0', '__proto__=1,']
  return ['', ...pieces.flatMap((piece) => [1, 2, 17, 2000].map((count) => piece.repeat(count)))]
}

function randomTexts(count: number): string[] {
  let state = 1
  // The generator of C's `minstd_rand`.
  const next = (below: number) => (state = (state * 48_271) % 2_147_483_647) % below
  const codePoint = () => {
    const kind = next(4)
    if (kind === 0) return next(0x20)
    if (kind === 3) return next(0x1_00_00)
    return 0x20 + next(0x5f)
  }
  return Array.from({ length: count }, () =>
    String.fromCodePoint(...Array.from({ length: next(40) }, () => codePoint())),
  )
}
