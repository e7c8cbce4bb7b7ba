import type { Propagator } from '../propagators/propagator.ts'

/** Texts that are expensive for a careless parser, or valid nowhere. The same in each run. */
export const hostileTexts: readonly string[] = [...repeatedPieces(), ...randomTexts(100)]

/** Headers of a propagator: each text in each of its fields, combined with others, and with fields missing. */
export function headersOf({ fields }: Propagator, texts: readonly string[]): Record<string, string>[] {
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
