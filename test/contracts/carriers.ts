import * as fc from 'fast-check'
import { type Carrier, carrierOf, type Propagator } from 'logical-context/propagators'

/** Headers, one line a name. */
export type Lines = Record<string, string>

/** The shapes that are expensive for a careless parser. */
export const hostileTexts: fc.Arbitrary<string> = fc
  .tuple(
    fc.constantFrom(' ', '\t', ',', '=', ';', '%', '%C3', ':', '-', 'a', '0', 'a=,', '\u00a0', '__proto__=1,'),
    fc.nat(2000),
  )
  .map(([piece, count]) => piece.repeat(count))

/** Some of a propagator's fields, with these texts. */
export function headersOf(propagator: Propagator, texts: fc.Arbitrary<string>): fc.Arbitrary<Lines> {
  const fields = propagator.fields.map((field) => [field, texts] as const)
  return fc.record(Object.fromEntries(fields), { requiredKeys: [] }) as fc.Arbitrary<Lines>
}

/** A carrier that notes which fields are touched, and forbids writing if it is to. */
export function watched(headers: Lines, touched: string[], readOnly: boolean): Carrier {
  const carrier = carrierOf(headers)
  const note = (field: string) => {
    touched.push(field)
    return field
  }
  return {
    get: (field) => carrier.get(note(field)),
    has: (field) => carrier.has(note(field)),
    set(field, value) {
      if (readOnly) throw new Error(`extract() has written '${field}'`)
      carrier.set(note(field), value)
    },
  }
}
