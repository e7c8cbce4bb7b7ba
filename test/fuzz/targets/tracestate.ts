import { TraceState } from '@opentelemetry/core'
import { Tracestate } from 'logical-context/variables'
import { referenceTracestate } from '../reference/trace-context.ts'
import { ensure, ensureLegal, ensureSame, type FuzzTarget } from '../target.ts'

/** Level 1, as in OpenTelemetry: a key begins with a letter, or has one `@` before a short name. */
const keyOfLevel1 = /^(?:[a-z][a-z\d_\-*/]{0,255}|[a-z\d][a-z\d_\-*/]{0,240}@[a-z][a-z\d_\-*/]{0,13})$/

export const tracestate: FuzzTarget = {
  name: 'tracestate',
  seeds: [
    'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE',
    'tenant@system=a b c, 1a-_*/@=~',
    'a=1,,\t, b=2 ,a=3',
    `${'k'.repeat(256)}=${'v'.repeat(256)}`,
    Array.from({ length: 32 }, (_, place) => `k${place}=${'v'.repeat(12)}`).join(','),
    `long=${'v'.repeat(140)},a=1,other=${'w'.repeat(240)},b=${'x'.repeat(128)}`,
  ],
  tokens: [
    'a=1',
    ',',
    '=',
    'a=',
    '@',
    ' ',
    '\t',
    ', ',
    '1@b=c',
    '__proto__=1',
    'v'.repeat(128),
    'k=v,',
    `b=${'v'.repeat(130)},`,
  ],
  read: (input) => Tracestate.parse(input).toString(),
  check(input) {
    const state = Tracestate.parse(input)
    const entries = [...state]
    const expected = referenceTracestate(input)
    const text = state.toString()
    ensureLegal(text)
    ensureSame(Tracestate.parse(input).toString(), text, 'writes the same before its members are read')
    ensure(
      entries.length <= 32 && text.length <= 512,
      'keeps within 32 members and 512 characters',
      entries.length,
      text.length,
    )
    if (expected === undefined)
      return ensureSame([state.refusal, text], ['malformed', ''], 'drops a list that breaks the grammar')

    if (input.length <= 512) ensureSame(entries, expected, 'reads what the grammar says')
    else ensure(isPartOf(entries, expected), 'keeps members whole and in order', entries, expected)
    ensureSame([...Tracestate.parse(text)], entries, 'reads what it has written')
    for (const [key, value] of entries) ensureSame(state.get(key), value, 'finds each member')
    // For a repeated key it has the last value.
    if (input.length > 512 || state.refusal === 'duplicate' || entries.some(([key]) => !keyOfLevel1.test(key))) return

    const theirs = new TraceState(input)
    for (const [key, value] of entries) ensureSame(theirs.get(key), value, 'reads what OpenTelemetry reads')
  },
}

type Entries = readonly (readonly [key: string, value: string])[]

function isPartOf(part: Entries, whole: Entries): boolean {
  let at = 0
  for (const [key, value] of whole) if (part[at]?.[0] === key && part[at]?.[1] === value) at++
  return at === part.length
}
