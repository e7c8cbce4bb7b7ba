import { isBaggageOctet } from '../../../src/variables/baggage-grammar.ts'
import { percentDecode, percentEncode } from '../../../src/variables/percent.ts'
import { decode } from '../reference/baggage.ts'
import { ensure, ensureSame, type FuzzTarget } from '../target.ts'

export const percent: FuzzTarget = {
  name: 'percent',
  seeds: ['a%20b', '%F0%9F%98%80', '%c3%28', '%', '%2', '%%41', '%00%ff', 'é😀', '\ud800', 'plain'],
  tokens: ['%', '%2', '%25', '%C3', '%A9', '%F0%9F', '%98%80', '%EF%BF%BD', '%ED%A0%80', '%zz', '😀'],
  read: (input) => [percentDecode(input), percentEncode(input, isBaggageOctet)],
  check(input) {
    const encoded = percentEncode(input, isBaggageOctet)
    ensure(
      /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$/.test(encoded),
      'writes allowed characters of a member',
      encoded,
    )
    ensureSame(percentDecode(encoded), input.toWellFormed(), 'reads what it has written')
    ensure(encoded.length <= 9 * input.length, 'writes three characters a byte at most', encoded.length)
    // What is read is a header's: of one byte a character.
    if (/[^\0-\xff]/.test(input)) return
    ensureSame(percentDecode(input), decode(input), 'reads bytes that are not UTF-8 as U+FFFD, and no others')
    if (/[\x80-\xff]/.test(input)) return
    try {
      ensureSame(percentDecode(input), decodeURIComponent(input), 'reads what JavaScript reads')
    } catch (error) {
      if (!(error instanceof URIError)) throw error
    }
  },
}
