import type { Random } from './random.ts'

/** Characters at the edges of what grammars allow: blanks, controls, delimiters, letters that only look like ASCII. */
const characters = [
  ...'\0\t\n\v\f\r !"#$%&\'()*+,-./0129:;<=>?@AFGZ[\\]^_`afgz{|}~'.split(''),
  ...['\x7f', '\x80', '\xa0', '\xe9', '\xff', '\u0130', '\u212a', '\ufeff', '\ufffd', '\ud800', '\udc00', '\uff10'],
]
/** Longer than any limit of DESIGN, section 7. */
const longest = 10_000
/** One in so many inputs is blown up, or near one of the pool that is long: they cost as much as many short ones. */
const longEvery = 400
const long = 200

/** An input near one of `pool`: a few changes away, some of them by one of the target's own tokens. */
export function mutate(pool: readonly string[], tokens: readonly string[], random: Random): string {
  let text = random.of(pool)
  while (text.length > long && random.below(longEvery) > 0) text = random.of(pool)
  for (let changes = 1 + random.below(4); changes > 0; changes--) text = change(text, pool, tokens, random)
  if (random.below(longEvery) === 0) text = blowUp(text, tokens, random)
  return text
}

function change(text: string, pool: readonly string[], tokens: readonly string[], random: Random): string {
  const at = random.below(text.length + 1)
  const end = at + random.below(Math.min(12, text.length - at + 1))
  switch (random.below(8)) {
    case 0:
      return text.slice(0, at) + random.of(characters) + text.slice(at + 1)
    case 1:
      return text.slice(0, at) + random.of(characters) + text.slice(at)
    case 2:
      return text.slice(0, at) + random.of(tokens) + text.slice(at)
    case 3:
      return text.slice(0, at) + random.of(tokens) + text.slice(end)
    case 4:
      return text.slice(0, at) + text.slice(end)
    case 5:
      return text.slice(0, end) + text.slice(at)
    case 6: {
      const other = random.of(pool).slice(0, long)
      return text.slice(0, at) + other.slice(random.below(other.length + 1))
    }
    default:
      return text.slice(0, at) + swapCase(text.slice(at, end)) + text.slice(end)
  }
}

/** Pieces are repeated, since most limits are of counts and lengths. */
function blowUp(text: string, tokens: readonly string[], random: Random): string {
  const piece = random.below(2) === 0 ? random.of(tokens) : text.slice(random.below(text.length + 1))
  const at = random.below(text.length + 1)
  const count = random.below(Math.ceil(longest / (piece.length + 1)) + 1)
  return text.slice(0, at) + piece.repeat(count) + text.slice(at)
}

function swapCase(text: string): string {
  const upper = text.toUpperCase()
  return upper === text ? text.toLowerCase() : upper
}
