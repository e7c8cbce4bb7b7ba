import { inspect } from 'node:util'
import { Tracestate } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'

const long = (length: number, character = 'z') => character.repeat(length)
const members = (count: number) => Array.from({ length: count }, (_, i) => `k${i}=${i}`).join(',')
const allKeyCharacters = 'abcdefghijklmnopqrstuvwxyz0123456789_-*/@'
const allValueCharacters = Array.from({ length: 0x7e - 0x1f }, (_, i) => String.fromCharCode(0x20 + i))
  .filter((character) => character !== ',' && character !== '=')
  .join('')

describe('Tracestate.parse', () => {
  it.each<[name: string, text: string, entries: [string, string][]]>([
    ['3.3.2 empty', '', []],
    ['3.3.2 blank', ' \t', []],
    ['3.3.2 a comma', ',', []],
    ['3.3.2 commas and blanks', ' , ,\t,', []],
    ['3.3.2.1 one member', 'foo=1', [['foo', '1']]],
    [
      '3.3.2.1 three members in their order',
      'foo=1,bar=2,baz=3',
      [
        ['foo', '1'],
        ['bar', '2'],
        ['baz', '3'],
      ],
    ],
    [
      '3.3.2 blanks around members',
      ' foo=1 \t,\t bar=2\t',
      [
        ['foo', '1'],
        ['bar', '2'],
      ],
    ],
    [
      '3.3.2 empty members',
      ',foo=1,,bar=2,',
      [
        ['foo', '1'],
        ['bar', '2'],
      ],
    ],
    ['3.3.2.1 32 members', members(32), Array.from({ length: 32 }, (_, i) => [`k${i}`, `${i}`])],
    ['3.3.2.2.1 all characters of a key', `${allKeyCharacters}=1`, [[allKeyCharacters, '1']]],
    ['3.3.2.2.1 a key that begins with a digit', '1a=1', [['1a', '1']]],
    ['3.3.2.2.1 a key of one digit', '0=1', [['0', '1']]],
    ['3.3.2.2.1 a key that ends with @', 'foo@=1', [['foo@', '1']]],
    ['3.3.2.2.1 a key with several @', 'a@b@@c=1', [['a@b@@c', '1']]],
    ['3.3.2.2.1 a long tenant', `${long(242, 't')}@v=1`, [[`${long(242, 't')}@v`, '1']]],
    ['3.3.2.2.1 a long system', `t@${long(15, 'v')}=1`, [[`t@${long(15, 'v')}`, '1']]],
    ['3.3.2.2.1 a key of 256 characters', `${long(256)}=1`, [[long(256), '1']]],
    ['3.3.2.2.2 all characters of a value', `foo=${allValueCharacters}`, [['foo', allValueCharacters]]],
    ['3.3.2.2.2 a value of 256 characters', `foo=${long(256)}`, [['foo', long(256)]]],
    ['3.3.2.2.2 blanks in front belong to the value', 'foo=  1', [['foo', '  1']]],
    [
      '3.3.2.2.2 blanks after it do not',
      'foo=1  ,bar=2',
      [
        ['foo', '1'],
        ['bar', '2'],
      ],
    ],
    ['3.3.2.2.2 blanks within do', 'foo=1  2', [['foo', '1  2']]],
    [
      'a key such as Object has',
      'constructor=1,valueof=2',
      [
        ['constructor', '1'],
        ['valueof', '2'],
      ],
    ],
    [
      'a key that begins like another',
      'foo=1,foobar=2,fo=3',
      [
        ['foo', '1'],
        ['foobar', '2'],
        ['fo', '3'],
      ],
    ],
  ])('reads %s', (_name, text, entries) => {
    const state = Tracestate.parse(text)

    expect([...state]).toEqual(entries)
    expect(state.size).toBe(entries.length)
    expect(state.refusal).toBe(undefined)
    expect(String(Tracestate.parse(text))).toBe(String(state))
  })

  it.each<[name: string, text: string, kept: string, refusal?: string]>([
    ['32 members and an empty one', `${members(32)},`, members(32)],
    ['32 members between empty ones', `,${members(32).replaceAll(',', ', ,')} ,,`, members(32)],
    ['one member after 400 empty ones', `${','.repeat(400)}a=1`, 'a=1'],
    ['one member after 4000 empty ones', `${','.repeat(4000)}a=1`, 'a=1'],
    ['33 empty members', ','.repeat(32), ''],
    ['4000 empty members', ', '.repeat(4000), ''],
    ['a key twice', 'foo=1,foo=1', 'foo=1', 'duplicate'],
    ['a key twice with other values', 'foo=1,bar=2,foo=3,baz=4', 'foo=1,bar=2,baz=4', 'duplicate'],
    ['two keys twice', 'b=1,a=2,a=3,b=4', 'b=1,a=2', 'duplicate'],
    ['a key that starts like another one', 'foo=1,foo2=2,fo=3', 'foo=1,foo2=2,fo=3'],
    ['a key twice on two lines', 'foo=1, bar=2, foo=1', 'foo=1,bar=2', 'duplicate'],
    [
      'a key twice in a long list',
      `foo=${'x'.repeat(256)},foo=1,foo=2,bar=${'y'.repeat(240)}`,
      `foo=${'x'.repeat(256)},bar=${'y'.repeat(240)}`,
      'duplicate',
    ],
  ])('keeps the members and drops empty and repeated ones: %s', (_name, text, kept, refusal) => {
    const state = Tracestate.parse(text)

    expect(String(state)).toBe(kept)
    expect(state.refusal).toBe(refusal)
    expect(Array.from(state, (member) => member.join('=')).join(',')).toBe(kept)
  })

  it('drops the whole list for 32 keys and a repeated one: it has 33 members', () => {
    expect(Tracestate.parse(`${members(32)},k0=1`)).toMatchObject({ refusal: 'malformed', size: 0 })
  })

  it.each<[name: string, text: string]>([
    ['3.3.2.1 33 members', members(33)],
    ['3.3.2.2 no equals sign', 'foo'],
    ['3.3.2.2 no equals sign in a later member', 'foo=1,bar'],
    ['3.3.2.2 no key', '=1'],
    ['3.3.2.2 nothing but an equals sign', '='],
    ['3.3.2.2.1 a blank after the key', 'foo =1'],
    ['3.3.2.2.1 a blank within the key', 'f oo=1'],
    ['3.3.2.2.1 a key in upper case', 'FOO=1'],
    ['3.3.2.2.1 a letter in upper case', 'fOo=1'],
    ['3.3.2.2.1 a dot', 'foo.bar=1'],
    ['3.3.2.2.1 a colon', 'foo:bar=1'],
    ['3.3.2.2.1 an umlaut', 'föö=1'],
    ['3.3.2.2.1 a key that begins with @', '@foo=1,bar=2'],
    ['3.3.2.2.1 a key that begins with _', '_foo=1'],
    ['3.3.2.2.1 a key that begins with -', '-foo=1'],
    ['3.3.2.2.1 a key that begins with *', '*foo=1'],
    ['3.3.2.2.1 a key that begins with /', '/foo=1'],
    ['3.3.2.2.1 __proto__', '__proto__=1'],
    ['3.3.2.2.1 a key of 257 characters', `foo=1,${long(257)}=1`],
    ['3.3.2.2.2 no value', 'foo=,bar=3'],
    ['3.3.2.2.2 a blank value', 'foo=  ,bar=3'],
    ['3.3.2.2.2 an equals sign in the value', 'foo=bar=baz'],
    ['3.3.2.2.2 a value of 257 characters', `foo=${long(257)}`],
    ['3.3.2.2.2 a tab in the value', 'foo=a\tb'],
    ['3.3.2.2.2 a line feed', 'foo=a\nb'],
    ['3.3.2.2.2 a carriage return', 'foo=a\rb'],
    ['3.3.2.2.2 a carriage return at the end', 'foo=a\r'],
    ['3.3.2.2.2 NUL', 'foo=a\0'],
    ['3.3.2.2.2 DEL', 'foo=a\x7f'],
    ['3.3.2.2.2 a character of latin1', 'foo=é'],
    ['3.3.2.2.2 a character beyond', 'foo=☃'],
    ['3.3.2.2.2 a lone surrogate', 'foo=\ud800'],
    ['RFC 9110, 5.6.3 NBSP is not a blank', 'foo=1,\u00a0bar=2'],
    ['RFC 9110, 5.6.3 a vertical tab is not a blank', 'foo=1,\vbar=2'],
    ['RFC 9110, 5.6.3 a byte order mark is not a blank', '\ufefffoo=1'],
    ['quotes', '"foo=1"'],
  ])('drops the whole list for %s', (_name, text) => {
    const state = Tracestate.parse(text)

    expect([...state]).toEqual([])
    expect(String(state)).toBe('')
    expect(state.refusal).toBe('malformed')
    expect(String(Tracestate.parse(text))).toBe('')
  })

  it.each<[name: string, text: string, cut: string]>([
    ['512 characters stay as they came', `a=${long(252)} , b=${long(253)}`, `a=${long(252)} , b=${long(253)}`],
    [
      'blanks are left out before members are',
      `a=${long(250)}${' '.repeat(200)},b=${long(250)}`,
      `a=${long(250)},b=${long(250)}`,
    ],
    [
      'a member of more than 128 characters goes first',
      `a=${long(127)},${long(100, 'b')}=1,${long(100, 'c')}=1,${long(100, 'd')}=1,${long(100, 'e')}=1`,
      `${long(100, 'b')}=1,${long(100, 'c')}=1,${long(100, 'd')}=1,${long(100, 'e')}=1`,
    ],
    [
      'a member of 128 characters is not a long one',
      `a=${long(126)},b=${long(126)},c=${long(126)},d=${long(126)}`,
      `a=${long(126)},b=${long(126)},c=${long(126)}`,
    ],
    [
      'members of 128 characters stay before shorter ones at the end',
      `a=${long(126)},b=${long(126)},c=${long(126)},d=${long(126)},e=1`,
      `a=${long(126)},b=${long(126)},c=${long(126)}`,
    ],
    [
      'of long members those at the end go first, and no more than must',
      `a=${long(200)},b=${long(200)},c=${long(200)},d=1`,
      `a=${long(200)},b=${long(200)},d=1`,
    ],
    [
      'after the long ones, those at the end go',
      `${Array.from({ length: 7 }, (_, i) => `k${i}=${long(100)}`).join(',')},l=${long(200)}`,
      Array.from({ length: 4 }, (_, i) => `k${i}=${long(100)}`).join(','),
    ],
  ])('keeps within 512 characters (3.3.3.1): %s', (_name, text, cut) => {
    const state = Tracestate.parse(text)

    expect(String(state)).toBe(cut)
    expect(String(state).length).toBeLessThanOrEqual(512)
  })

  it('reports that it has cut', () => {
    expect(Tracestate.parse(`a=${long(255)},b=${long(255)}`).refusal).toBe('truncated')
    expect(Tracestate.parse(`a=1${' '.repeat(600)}`).refusal).toBe(undefined)
  })
})

describe('Tracestate', () => {
  it('finds a value', () => {
    const state = Tracestate.parse('foo=1,bar= 2')

    expect([state.get('foo'), state.get('bar'), state.get('ba'), state.get('')]).toEqual([
      '1',
      ' 2',
      undefined,
      undefined,
    ])
  })

  it.each<[name: string, before: string, key: string, value: string, after: string]>([
    ['3.5 to an empty list', '', 'foo', '1', 'foo=1'],
    ['3.5 in front of others', 'bar=2', 'foo', '1', 'foo=1,bar=2'],
    ['3.5 again, which moves it to the front', 'a=1,b=2,c=3', 'c', '4', 'c=4,a=1,b=2'],
    ['3.5 to the same value, which moves it too', 'a=1,b=2', 'b', '2', 'b=2,a=1'],
    ['to a list that broke the grammar', 'A=1', 'foo', '1', 'foo=1'],
    ['to a list of 32, whose last one goes', members(32), 'foo', '1', `foo=1,${members(31)}`],
    ['a value with blanks in front', '', 'foo', '  1', 'foo=  1'],
    ['a key that begins like another', 'foobar=1', 'foo', '2', 'foo=2,foobar=1'],
  ])('sets a member %s', (_name, before, key, value, after) => {
    expect(String(Tracestate.parse(before).set(key, value))).toBe(after)
  })

  it('cuts long members of others before the one it sets (3.3.3.1)', () => {
    const state = Tracestate.parse(`a=${long(200)},b=${long(200)}`).set('ours', long(200))

    expect([...state].map(([key]) => key)).toEqual(['ours', 'a'])
  })

  it.each<[name: string, before: string, key: string, after: string]>([
    ['the first', 'a=1,b=2,c=3', 'a', 'b=2,c=3'],
    ['the last', 'a=1,b=2,c=3', 'c', 'a=1,b=2'],
    ['the only one', 'a=1', 'a', ''],
    ['none, if there is none of the key', ' a=1 ,b=2', 'c', ' a=1 ,b=2'],
  ])('deletes %s', (_name, before, key, after) => {
    expect(String(Tracestate.parse(before).delete(key))).toBe(after)
  })

  it('shows what it holds to console.log', () => {
    expect(inspect(Tracestate.parse('a=1'))).toBe('Tracestate(a=1)')
  })

  it('is not changed by any of it', () => {
    const state = Tracestate.parse('a=1,b=2')

    state.set('c', '3')
    state.delete('a')

    expect(String(state)).toBe('a=1,b=2')
  })

  it.each<[name: string, key: unknown, value: unknown]>([
    ['an empty key', '', '1'],
    ['a key in upper case', 'FOO', '1'],
    ['a key that begins with @', '@vendor', '1'],
    ['a key with a dot', 'special.vendor', '1'],
    ['a key of 257 characters', long(257), '1'],
    ['a key that is not a string', 123, 'abc'],
    ['no value', 'foo', ''],
    ['a blank after the value', 'foo', '1 '],
    ['an equals sign in the value', 'foo', 'bar=baz'],
    ['a comma in the value', 'foo', 'a,b'],
    ['a line feed in the value', 'foo', 'a\nb'],
    ['a value of 257 characters', 'foo', long(257)],
    ['a value that is not a string', 'foo', 123],
    ['an undefined value', 'foo', undefined],
  ])('refuses %s from the programmer', (_name, key, value) => {
    expect(() => Tracestate.empty.set(key as string, value as string)).toThrow(
      /^Tracestate: expected a (key|value) within the grammar, got /,
    )
  })
})
