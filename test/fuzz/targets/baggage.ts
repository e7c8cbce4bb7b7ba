import { Baggage, type BaggageEntry } from 'logical-context/variables'
import { referenceBaggage } from '../reference/baggage.ts'
import { ensure, ensureLegal, ensureSame, type FuzzTarget } from '../target.ts'

export const baggage: FuzzTarget = {
  name: 'baggage',
  seeds: [
    'userId=alice,serverNode=DF%2028,isProduction=false',
    'key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue',
    'a=%F0%9F%98%80,b=%C3%28,c=%,d=,e==,=f,g',
    '__proto__=1,constructor=2;prototype=3,0=4',
    Array.from({ length: 64 }, (_, place) => `k${place}=v`).join(','),
    `a=${'x'.repeat(4094)},b=${'y'.repeat(4080)}`,
  ],
  tokens: [
    'a=1',
    ',',
    ';',
    '=',
    '%',
    '%20',
    '%C3',
    '%00',
    '%2c',
    ' ',
    '\t',
    ';p',
    ';p=1',
    ', ',
    'k=v,',
    '"',
    '\\',
    '__proto__=1',
  ],
  read: (input) => Baggage.parse(input).toString(),
  check(input) {
    const read = Baggage.parse(input)
    const entries = entriesOf(read)
    ensureSame(entries, referenceBaggage(input), 'reads what the grammar says')

    const text = read.toString()
    ensureSame(Baggage.parse(input).toString(), text, 'writes the same before its members are read')
    ensureSame(Baggage.parse(input).size, read.size, 'counts the same before its members are read')
    ensureLegalBaggage(text)
    if (text !== input) ensureSame(entriesOf(Baggage.parse(text)), entries, 'reads what it has written')
    for (const { key, value } of entries.slice(-3)) {
      if (entries.filter((entry) => entry.key === key).length === 1) ensureSame(read.get(key), value, 'finds a member')
    }
  },
  frame: (text) => `k=${text}`,
}

/** Legal in a header, and within the limits of W3C Baggage, 3.3.2. */
export function ensureLegalBaggage(text: string): void {
  ensureLegal(text)
  const members = text.split(',')
  ensure(
    text.length <= 8192 && members.length <= 64,
    'keeps within 8192 bytes and 64 members',
    text.length,
    members.length,
  )
}

function entriesOf(read: Baggage): (BaggageEntry & { key: string })[] {
  return Array.from(read, ([key, { value, properties }]) => ({ key, value, properties }))
}
