import { carrierOf, type CarrierSource } from 'logical-context/propagators'
import { incomingCarrier } from '../../../src/propagators/carrier.ts'
import { ensure, ensureSame, type FuzzTarget } from '../target.ts'
import { linesOf } from './lines.ts'

const names = ['traceparent', 'x-request-id', '__proto__', 'get']

export const carrier: FuzzTarget = {
  name: 'carrier',
  seeds: [
    'traceparent: a\nx-request-id: b',
    'Traceparent: a\nTRACEPARENT: b\ntraceparent: c',
    '__proto__: polluted\nconstructor: x\nprototype: y',
    'get: a\nhas: b\nset: c',
    ': \n:\n\n',
    'x-request-id: a, b\nX-Request-Id: \n',
  ],
  tokens: [
    '\n',
    ': ',
    'traceparent: ',
    'Traceparent',
    'x-request-id: ',
    '__proto__: ',
    'toString: ',
    'get: ',
    ', ',
    'a\nb: ',
  ],
  read: (input) => sourcesOf(input).map((source) => names.map((name) => carrierOf(source).get(name))),
  check(input) {
    const lines = linesOf(input)
    const carriers = carriersOf(lines).map((source) => carrierOf(source))
    const bySpelling = [...spellingsOf(lines)].flatMap(([name, values]) => values.map((value): Line => [name, value]))
    for (const name of names) {
      const [expected, expectedBySpelling] = [textOf(lines, name), textOf(bySpelling, name)]
      for (const [place, carrier] of carriers.entries()) {
        const text = place < 2 ? expected : expectedBySpelling
        ensureSame(carrier.get(name), text, `finds all lines of '${name}' in their order`)
        ensureSame(carrier.has(name), text !== undefined, `says whether there is '${name}'`)
      }
    }
    const own = incomingCarrier(Object.fromEntries(lines))
    own.set('x-new', input)
    ensureSame(own.get('x-new'), input, 'reads what it has written')
    ensure(isUntouched(), 'leaves Object alone')
  },
}

type Line = [name: string, value: string]

/** What is timed is to read them, not to make them. */
const sources = new Map<string, CarrierSource[]>()

function sourcesOf(input: string): CarrierSource[] {
  const known = sources.get(input)
  if (known !== undefined) return known
  if (sources.size === 4) sources.clear()
  const made = carriersOf(linesOf(input))
  sources.set(input, made)
  return made
}

/** The same headers, in the forms that libraries have for them; the last two have no order among spellings. */
function carriersOf(lines: Line[]): CarrierSource[] {
  const spellings = spellingsOf(lines)
  return [lines.flat(), lines.map(([name, value]): Line => [name, value]), spellings, Object.fromEntries(spellings)]
}

function spellingsOf(lines: Line[]): Map<string, string[]> {
  const spellings = new Map<string, string[]>()
  for (const [name, value] of lines) {
    const known = spellings.get(name)
    if (known === undefined) spellings.set(name, [value])
    else known.push(value)
  }
  return spellings
}

function textOf(lines: Line[], name: string): string | undefined {
  const found = lines.filter(([known]) => known.toLowerCase() === name)
  return found.length === 0 ? undefined : found.map(([, value]) => value).join(', ')
}

function isUntouched(): boolean {
  let count = 0
  for (const key in {}) count += key.length
  return count === 0
}
