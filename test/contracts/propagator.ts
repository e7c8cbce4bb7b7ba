import * as fc from 'fast-check'
import { type ContextVar, LogicalContext } from 'logical-context'
import { carrierOf, type CarrierSource, type Peer, type Propagator } from 'logical-context/propagators'
import { TraceContext, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import { headersOf, hostileTexts, type Lines, watched } from './carriers.ts'
import { extractFrom, injectInto } from './exchange.ts'

type AnyContextVar = ContextVar<unknown, unknown>

/** What the suite must know of a propagator to try it. */
export interface PropagatorSamples {
  /** Any context that it can write whole. */
  contexts: fc.Arbitrary<LogicalContext>
  /** What it carries besides the trace. */
  variables?: readonly AnyContextVar[]
  /** Whether it carries the trace. */
  trace?: boolean
  /** What a carrier's text may look like, so that the fuzz comes near what is valid. */
  texts: fc.Arbitrary<string>
}

// The same inputs each time: chance does not decide what lands.
fc.configureGlobal({ seed: Number(process.env['PROPERTY_SEED'] ?? 1) })

/** What every propagator promises, a user's own too: call it with a factory and samples. */
export function describePropagator(name: string, make: () => Propagator, samples: PropagatorSamples): void {
  const { contexts, variables = [], trace = false, texts } = samples
  const carried: readonly AnyContextVar[] = trace ? [traceContext, ...variables] : variables

  describe(`the contract of a propagator, kept by ${name}`, () => {
    it('names its fields once, in lower case', () => {
      const { fields } = make()

      expect(fields).not.toEqual([])
      expect(fields).toEqual([...new Set(fields)].map((field) => field.toLowerCase()))
    })

    it('extracts what it injected', () => {
      const propagator = make()

      fc.assert(
        fc.property(contexts, (context) => {
          const read = extractFrom(propagator, injectInto(propagator, context).headers)

          expect(read.refusals).toEqual([])
          for (const variable of variables) expect(read.context.get(variable)).toEqual(context.get(variable))
          if (trace) expectChild(read.context.get(traceContext), context.get(traceContext))
        }),
      )
    })

    it('is stable: extract, then inject, hop after hop', () => {
      const propagator = make()
      const hop = (headers: Lines) => injectInto(propagator, extractFrom(propagator, headers).context).headers

      fc.assert(
        fc.property(headersOf(propagator, texts), (headers) => {
          // The first hop may begin a trace, which has no span above it before the second.
          const second = hop(hop(headers))
          const third = hop(second)

          expect(Object.keys(third)).toEqual(Object.keys(second))
          const [before, after] = [second, third].map((lines) => extractFrom(propagator, lines).context)
          for (const variable of variables) expect(shown(after?.get(variable))).toBe(shown(before?.get(variable)))
          if (trace) expect(shown(after?.get(traceContext))).toBe(shown(before?.get(traceContext)))
        }),
      )
    })

    it('reads every form of carrier alike', () => {
      const propagator = make()

      fc.assert(
        fc.property(contexts, (context) => {
          const { headers } = injectInto(propagator, context)
          const entries = Object.entries(headers)
          const shouted = entries.map(([key, value]): [string, string] => [key.toUpperCase(), value])
          const forms: CarrierSource[] = [
            new Headers(headers),
            new Map(entries),
            entries,
            shouted.flat(),
            Object.fromEntries(shouted),
          ]

          for (const form of forms) {
            const read = extractFrom(propagator, form).context
            for (const variable of variables) expect(shown(read.get(variable))).toBe(shown(context.get(variable)))
            if (trace) expect(read.get(traceContext)?.traceId).toBe(context.get(traceContext)?.traceId)
          }
        }),
      )
    })

    it.each<[trace: Peer['trace'], values: boolean]>([
      ['continue', true],
      ['continue', false],
      ['restart', true],
      ['restart', false],
      ['ignore', true],
      ['ignore', false],
    ])(
      'never throws for what a carrier holds, to a peer it is to %s, values %s',
      { timeout: 60_000 },
      (verdict, values) => {
        const propagator = make()

        fc.assert(
          fc.property(
            headersOf(propagator, fc.oneof(texts, fc.string({ unit: 'binary' }), hostileTexts)),
            (headers) => {
              const read = extractFrom(propagator, headers, { trace: verdict, values })
              const written = injectInto(propagator, read.context)

              expect(Object.values(written.headers).filter((text) => !/^[\t\x20-\x7e]*$/.test(text))).toEqual([])
              expect(read.refusals.length).toBeLessThan(100)
            },
          ),
          { numRuns: 200 },
        )
      },
    )

    it('takes no values from a peer that may set none, and no trace from one whose trace it is to ignore', () => {
      const propagator = make()

      fc.assert(
        fc.property(contexts, (context) => {
          const { headers } = injectInto(propagator, context)

          const { context: read } = extractFrom(propagator, headers, { trace: 'ignore', values: false })

          for (const variable of carried)
            if (context.has(variable)) expect(shown(read.get(variable))).not.toBe(shown(context.get(variable)))
        }),
      )
    })

    it('writes nothing of an empty context, nor what a destination may not be told', () => {
      const propagator = make()

      fc.assert(
        fc.property(contexts, (context) => {
          expect(injectInto(propagator, LogicalContext.empty).headers).toEqual({})
          expect(injectInto(propagator, context, { trace: false, values: false }).headers).toEqual({})
          expect(injectInto(propagator, context, { trace: false, values: [] }).headers).toEqual({})
        }),
      )
    })

    it('overwrites no existing field', () => {
      const propagator = make()
      const mine = Object.fromEntries(propagator.fields.map((field) => [field, 'mine']))

      fc.assert(
        fc.property(contexts, (context) => {
          const headers = { ...mine }
          propagator.inject(context, carrierOf(headers), { trace: true, values: true, refuse() {} })

          expect(headers).toEqual(mine)
        }),
      )
    })

    it('touches its own fields only, and writes none as it extracts', () => {
      const propagator = make()
      const touched: string[] = []

      fc.assert(
        fc.property(contexts, (context) => {
          const { headers } = injectInto(propagator, context)
          propagator.extract(LogicalContext.empty, watched(headers, touched, true), {
            trace: 'continue',
            values: true,
            refuse() {},
          })
          propagator.inject(context, watched({}, touched, false), { trace: true, values: true, refuse() {} })
        }),
      )

      expect([...new Set(touched)].filter((field) => !propagator.fields.includes(field))).toEqual([])
    })

    it('says nothing of an empty carrier', () => {
      for (const verdict of ['continue', 'restart', 'ignore'] as const) {
        expect(extractFrom(make(), {}, { trace: verdict, values: false }).refusals).toEqual([])
      }
    })

    it('leaves Object alone', () => {
      const before = Object.getOwnPropertyNames(Object.prototype)

      extractFrom(make(), JSON.parse('{"__proto__":"x","constructor":"y"}') as Lines)

      expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before)
    })
  })
}

function expectChild(found: TraceContext | undefined, above: TraceContext | undefined): void {
  expect(found).toMatchObject({ traceId: above?.traceId, parentSpanId: above?.spanId })
  if (above?.sampling !== 'defer') expect(found?.sampled).toBe(above?.sampled)
}

function shown(value: unknown): string {
  return value instanceof TraceContext ? `${value.traceId} ${value.flags}` : String(value)
}
