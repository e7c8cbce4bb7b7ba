import { ContextVar, LogicalContext } from 'logical-context'
import { w3cBaggage } from 'logical-context/propagators'
import { Baggage, Tracestate } from 'logical-context/variables'
import { ensure, ensureSame, type FuzzTarget } from '../target.ts'
import { ensureLegalBaggage } from './baggage.ts'
import { extractAll, injectAll } from './peers.ts'

const tenant = new ContextVar<string>('tenant')
const propagator = w3cBaggage({ members: { tenant } })

/** What a program sets: a first line that is the key, and a value. */
export const setters: FuzzTarget = {
  name: 'setters',
  seeds: [
    'tenant\nacme',
    'user@system\na b c',
    'a\nmit Umlaut: ü',
    '__proto__\n1',
    'a\n\r\nx-admin: true',
    'k\n\ud800',
    `k\n${'v'.repeat(256)}`,
    '\n',
  ],
  tokens: ['\n', ',', ';', '=', '%', ' ', '"', 'é', '😀', '\r\n', '\ud800', 'v'.repeat(128), '@'],
  read: (input) => Baggage.empty.set('k', input).toString(),
  check(input) {
    const line = input.indexOf('\n')
    const [key, value] = line === -1 ? [input, ''] : [input.slice(0, line), input.slice(line + 1)]

    const state = orTypeError(() => Tracestate.parse('rojo=1,congo=2').set(key, value))
    if (state !== undefined) {
      ensure(state.toString().length <= 512, 'keeps within 512 characters')
      const read = Tracestate.parse(state.toString())
      if (key.length + value.length < 500) ensureSame(read.get(key), value, 'returns a member of tracestate unchanged')
    }

    const baggage = orTypeError(() => Baggage.parse('a=1,b=2').set(key, value, [[key, value]]))
    if (baggage !== undefined) {
      ensureLegalBaggage(baggage.toString())
      const entry = { value: value.toWellFormed(), properties: [[key, value.toWellFormed()]] }
      ensureSame(baggage.getEntry(key), entry, 'has the member')
      if (fits(key, value, 2))
        ensureSame(Baggage.parse(baggage.toString()).getEntry(key), entry, 'returns a member of baggage unchanged')
    }

    const { found: written, refusals } = injectAll(propagator, LogicalContext.empty.with(tenant, value))
    if (written['baggage'] === undefined) ensureSame(refusals, ['truncated baggage'], 'says what does not go out')
    else
      ensureSame(
        extractAll(propagator, written).found.get(tenant),
        value.toWellFormed(),
        'returns a variable unchanged',
      )
  },
}

function fits(key: string, value: string, times: number): boolean {
  return times * (key.length + 1 + 3 * Buffer.byteLength(value)) + 1 <= 8184
}

/** A programmer's mistake throws, and says what was expected. */
function orTypeError<T>(fn: () => T): T | undefined {
  try {
    return fn()
  } catch (error) {
    const isTold = error instanceof TypeError && /expected .* got /s.test(error.message)
    ensure(isTold, 'refuses with expected and got', String(error))
    return undefined
  }
}
