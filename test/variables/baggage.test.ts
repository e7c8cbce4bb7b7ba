import { inspect } from 'node:util'
import { Baggage, type BaggageProperty } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'

type Members = [key: string, value: string, ...properties: BaggageProperty[]][]

/** The members of a baggage in their order. */
function read(baggage: Baggage): Members {
  return Array.from(baggage, ([key, { value, properties }]) => [key, value, ...properties])
}

const many = (count: number) => Array.from({ length: count }, (_, i) => `k${i}=${i}`).join(',')
const tokenCharacters = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/** What a list says of itself. */
function told(baggage: Baggage) {
  return { text: String(baggage), size: baggage.size, refusals: baggage.refusals }
}

/** The same for a baggage whose members are not read: a plain text is not parsed then. */
function unread(text: string) {
  return told(Baggage.parse(text))
}

describe('Baggage.parse', () => {
  it.each<[name: string, text: string, members: Members]>([
    ['nothing', '', []],
    ['a blank text', ' \t', []],
    ['3.3.1 one member', 'userId=alice', [['userId', 'alice']]],
    [
      '3.3.1 several members',
      'userId=alice,serverNode=DF%2028,isProduction=false',
      [
        ['userId', 'alice'],
        ['serverNode', 'DF 28'],
        ['isProduction', 'false'],
      ],
    ],
    [
      '3.3.1 blanks around everything',
      ' userId =   alice\t, serverNode = DF%2028 ',
      [
        ['userId', 'alice'],
        ['serverNode', 'DF 28'],
      ],
    ],
    [
      '3.3.3 the example of the text',
      'key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue',
      [
        ['key1', 'value1', ['property1'], ['property2']],
        ['key2', 'value2'],
        ['key3', 'value3', ['propertyKey', 'propertyValue']],
      ],
    ],
    ['3.3.1.2 all characters of a key', `${tokenCharacters}=1`, [[tokenCharacters, '1']]],
    ['3.3.1.2 keys are never decoded', 'a%20b=1', [['a%20b', '1']]],
    [
      '3.3.1.2 keys differ by case',
      'a=1,A=2',
      [
        ['a', '1'],
        ['A', '2'],
      ],
    ],
    [
      '3.3.1.3 an empty value',
      'a=,b=2',
      [
        ['a', ''],
        ['b', '2'],
      ],
    ],
    [
      '3.3.1.3 a blank value, which is empty',
      'a= \t,b=2',
      [
        ['a', ''],
        ['b', '2'],
      ],
    ],
    ['3.3.1.3 equals signs in the value', 'a=b=c==', [['a', 'b=c==']]],
    ['3.3.1.3 nothing but equals signs in the value', 'a===', [['a', '==']]],
    ['3.3.1.3 all octets', "a=!#$%25&'()*+-./:<=>?@[]^_`{|}~", [['a', "!#$%&'()*+-./:<=>?@[]^_`{|}~"]]],
    ['3.3.1.3 UTF-8', 'a=%C3%A9%F0%9F%98%80', [['a', 'é😀']]],
    [
      '3.3.1.3 bytes that are not UTF-8',
      'a=x%FFy,b=%C3',
      [
        ['a', 'x\ufffdy'],
        ['b', '\ufffd'],
      ],
    ],
    [
      '3.3.1.3 a percent sign that is not an escape',
      'a=100%,b=%zz',
      [
        ['a', '100%'],
        ['b', '%zz'],
      ],
    ],
    ['3.3.1.3 line ends that come escaped', 'a=x%0D%0Ay', [['a', 'x\r\ny']]],
    ['3.3.1.4 a property without a value', 'a=1;p', [['a', '1', ['p']]]],
    ['3.3.1.4 a property with an empty value', 'a=1;p=', [['a', '1', ['p', '']]]],
    ['3.3.1.4 a property with equals signs', 'a=1;p=x=y', [['a', '1', ['p', 'x=y']]]],
    ['3.3.1.4 properties that repeat', 'a=1;p=1;p=2', [['a', '1', ['p', '1'], ['p', '2']]]],
    ['3.3.1.4 blanks around properties', 'a=1 ; p = x\t;\tq ', [['a', '1', ['p', 'x'], ['q']]]],
    ['3.3.1.4 an escaped value of a property', 'a=1;p=%20', [['a', '1', ['p', ' ']]]],
    ['3.3.1.4 an empty value with a property', 'a=;p', [['a', '', ['p']]]],
    [
      '3.3.1.1 a key that repeats',
      'a=1,b=2,a=3',
      [
        ['a', '1'],
        ['b', '2'],
        ['a', '3'],
      ],
    ],
    [
      'RFC 9110, 5.6.1 empty members',
      ',a=1,,b=2, ,',
      [
        ['a', '1'],
        ['b', '2'],
      ],
    ],
    [
      '__proto__',
      '__proto__=1,a=2',
      [
        ['__proto__', '1'],
        ['a', '2'],
      ],
    ],
    [
      'names that Object has',
      'constructor=1,toString=2,hasOwnProperty=3',
      [
        ['constructor', '1'],
        ['toString', '2'],
        ['hasOwnProperty', '3'],
      ],
    ],
    [
      'integer-like keys, in their order',
      '2=b,10=c,1=a',
      [
        ['2', 'b'],
        ['10', 'c'],
        ['1', 'a'],
      ],
    ],
    ['3.3.2 64 members', many(64), Array.from({ length: 64 }, (_, i) => [`k${i}`, `${i}`])],
    ['a member of 8192 bytes', `a=${'x'.repeat(8190)}`, [['a', 'x'.repeat(8190)]]],
    [
      '3.3.2 8192 bytes',
      `a=${'x'.repeat(4094)},b=${'y'.repeat(4093)}`,
      [
        ['a', 'x'.repeat(4094)],
        ['b', 'y'.repeat(4093)],
      ],
    ],
  ])('reads %s', (_name, text, members) => {
    const baggage = Baggage.parse(text)

    expect(read(baggage)).toEqual(members)
    expect(baggage.size).toBe(members.length)
    expect(baggage.refusals).toEqual([])
    expect(String(baggage)).toBe(members.length === 0 ? '' : text)
    expect(unread(text)).toEqual(told(baggage))
  })

  it.each<[name: string, member: string]>([
    ['3.3.1 no equals sign', 'x'],
    ['3.3.1 a property, but no equals sign', 'x;p=1'],
    ['3.3.1 an equals sign alone', '='],
    ['3.3.1 a semicolon alone', ';'],
    ['3.3.1.2 no key', '=1'],
    ['3.3.1.2 a blank key', ' =1'],
    ['3.3.1.2 a blank within the key', 'x y=1'],
    ['3.3.1.2 a slash in the key', 'x/y=1'],
    ['3.3.1.2 a colon in the key', 'x:y=1'],
    ['3.3.1.2 an @ in the key', 'x@y=1'],
    ['3.3.1.2 brackets in the key', 'x[0]=1'],
    ['3.3.1.2 braces in the key', '{x}=1'],
    ['3.3.1.2 parentheses in the key', 'x()=1'],
    ['3.3.1.2 a quoted key', '"x"=1'],
    ['3.3.1.2 a key that is not ASCII', 'ö=1'],
    ['3.3.1.2 a control character in the key', 'x\u0001=1'],
    ['3.3.1.3 a blank within the value', 'x=a b'],
    ['3.3.1.3 a quoted value', 'x="1"'],
    ['3.3.1.3 a backslash in the value', 'x=a\\b'],
    ['3.3.1.3 a value of latin1', 'x=é'],
    ['3.3.1.3 a value beyond', 'x=☃'],
    ['3.3.1.3 a lone surrogate', 'x=\ud800'],
    ['3.3.1.3 a line feed', 'x=a\nb'],
    ['3.3.1.3 a carriage return after it', 'x=a\r'],
    ['3.3.1.3 NUL', 'x=\0'],
    ['3.3.1.3 DEL', 'x=\x7f'],
    ['3.3.1.4 an empty property', 'x=1;'],
    ['3.3.1.4 an empty property between', 'x=1;;p'],
    ['3.3.1.4 a property without a key', 'x=1;=1'],
    ['3.3.1.4 a property whose key is not a token', 'x=1;p q'],
    ['3.3.1.4 a property with a blank in its value', 'x=1;p=a b'],
    ['3.3.1.4 a property with a quoted value', 'x=1;p="a"'],
    ['RFC 9110, 5.6.3 NBSP is not a blank', '\u00a0x=1'],
    ['RFC 9110, 5.6.3 a vertical tab is not a blank', 'x=1\v'],
    ['RFC 9110, 5.6.3 a byte order mark is not a blank', '\ufeffx=1'],
  ])('drops a member that breaks the grammar, and no other: %s', (_name, member) => {
    const baggage = Baggage.parse(`a=1, ${member} ,b=2`)

    expect(read(baggage)).toEqual([
      ['a', '1'],
      ['b', '2'],
    ])
    expect(baggage.refusals).toEqual(['malformed'])
    expect(String(baggage)).toBe('a=1,b=2')
    expect(unread(`a=1,${member},b=2`)).toEqual(told(baggage))
  })

  it.each<[name: string, text: string, keys: string[]]>([
    ['65 members', many(65), Array.from({ length: 64 }, (_, i) => `k${i}`)],
    ['64 empty members and one', `${','.repeat(64)}a=1`, []],
    ['63 malformed members and two', `${'x,'.repeat(63)}a=1,b=2`, ['a']],
    ['a member that ends after 8192 bytes', `a=1,b=${'x'.repeat(8187)}`, ['a']],
    ['8193 bytes', `a=${'x'.repeat(4094)},b=${'y'.repeat(4094)}`, ['a']],
    ['what comes after 8192 bytes', `a=1,${' '.repeat(4000)},${' '.repeat(4000)},b=${'y'.repeat(400)},c=3`, ['a']],
  ])('keeps within the limits (3.3.2): %s', (_name, text, keys) => {
    const baggage = Baggage.parse(text)

    expect(Array.from(baggage, ([key]) => key)).toEqual(keys)
    expect(baggage.refusals).toContain('truncated')
    expect(unread(text)).toEqual(told(baggage))
  })
})

describe('Baggage', () => {
  it('returns the value of a key, decoded', () => {
    const baggage = Baggage.parse('a=x%20y,b=,__proto__=z')

    expect([baggage.get('a'), baggage.get('b'), baggage.get('c'), baggage.get('__proto__')]).toEqual([
      'x y',
      '',
      undefined,
      'z',
    ])
    expect(baggage.get('toString')).toBe(undefined)
  })

  it('returns the last value of a key that repeats', () => {
    expect(Baggage.parse('a=1,a=2').get('a')).toBe('2')
  })

  it('returns the entry of a key', () => {
    expect(Baggage.parse('a=1;p;q=%20').getEntry('a')).toEqual({ value: '1', properties: [['p'], ['q', ' ']] })
    expect(Baggage.empty.getEntry('a')).toBe(undefined)
  })

  it.each<[name: string, before: string, set: [string, string, BaggageProperty[]?], after: string]>([
    ['to an empty baggage', '', ['a', '1'], 'a=1'],
    ['at the end', 'b=2', ['a', '1'], 'b=2,a=1'],
    ['in its place', 'a=1,b=2,c=3', ['b', '4'], 'a=1,b=4,c=3'],
    ['once for a key that repeats', 'a=1,b=2,a=3', ['a', '4'], 'a=4,b=2'],
    ['with an escaped value', '', ['a', 'x y,;"\\%é'], 'a=x%20y%2C%3B%22%5C%25%C3%A9'],
    ['with an empty value', '', ['a', ''], 'a='],
    ['with a lone surrogate, which is written', '', ['a', '\ud800'], 'a=%EF%BF%BD'],
    ['with line ends, which are escaped', '', ['a', '\r\nx: y'], 'a=%0D%0Ax:%20y'],
    ['with properties', '', ['a', '1', [['p'], ['q', 'x y']]], 'a=1;p;q=x%20y'],
    ['without the properties it had', 'a=1;p', ['a', '2'], 'a=2'],
    ['named __proto__', '', ['__proto__', '1'], '__proto__=1'],
    ['with an integer-like key, at the end', 'b=1', ['1', 'x'], 'b=1,1=x'],
    ['and writes blanks of others out', ' b = 2 ', ['a', '1'], 'b=2,a=1'],
    ['and keeps the escapes of others', 'b=%c3%a9%41', ['a', '1'], 'b=%c3%a9%41,a=1'],
  ])('sets a member %s', (_name, before, set, after) => {
    expect(String(Baggage.parse(before).set(...set))).toBe(after)
  })

  it.each<[name: string, before: string, key: string, after: string]>([
    ['one', 'a=1,b=2', 'a', 'b=2'],
    ['all of the key', 'a=1,b=2,a=3', 'a', 'b=2'],
    ['the last one', 'a=1', 'a', ''],
    ['none', ' a=1 ', 'b', ' a=1 '],
  ])('deletes %s', (_name, before, key, after) => {
    expect(String(Baggage.parse(before).delete(key))).toBe(after)
  })

  it('shows what it holds to console.log', () => {
    expect(inspect(Baggage.parse('a=1;p,bad member'))).toBe('Baggage(a=1;p)')
  })

  it('is not changed by any of it', () => {
    const baggage = Baggage.parse('a=1,b=2')

    baggage.set('c', '3')
    baggage.delete('a')

    expect(String(baggage)).toBe('a=1,b=2')
  })

  it('writes as many members as fit the limits', () => {
    let baggage = Baggage.empty
    for (let i = 0; i < 70; i++) baggage = baggage.set(`k${i}`, String(i))

    expect(baggage.size).toBe(70)
    expect(String(baggage)).toBe(many(64))
  })

  it('writes a smaller member after one that does not fit', () => {
    const baggage = Baggage.empty
      .set('a', 'x'.repeat(4000))
      .set('b', 'é'.repeat(1000))
      .set('c', 'y'.repeat(4000))
      .set('d', '1')

    expect(Array.from(Baggage.parse(String(baggage)), ([key]) => key)).toEqual(['a', 'c', 'd'])
  })

  it.each<[name: string, set: [unknown, unknown, unknown?]]>([
    ['an empty key', ['', '1']],
    ['a key with a blank', ['a b', '1']],
    ['a key that is not ASCII', ['é', '1']],
    ['a key with a line feed', ['a\nb', '1']],
    ['a key that is not a string', [1, '1']],
    ['a value that is not a string', ['a', 1]],
    ['no value', ['a', undefined]],
    ['a property whose key is not a token', ['a', '1', [['p q']]]],
    ['a property whose value is not a string', ['a', '1', [['p', 1]]]],
  ])('refuses %s from the programmer', (_name, set) => {
    expect(() => Baggage.empty.set(...(set as [string, string]))).toThrow(/^Baggage: expected the (key|value) to be a /)
  })
})
