import { ContextVar, LogicalContext } from 'logical-context'
import { type Destination, w3cBaggage } from 'logical-context/propagators'
import { extractFrom, injectInto } from 'logical-context/testing'
import { Baggage, baggage } from 'logical-context/variables'
import { describe, expect, it, vi } from 'vitest'

const tenant = new ContextVar<string>('tenant')
const plan = new ContextVar<number>('plan')
const secret = new ContextVar<string>('secret', { sensitive: true })

/** A number of at least 0; throws for another text. */
const planCodec = {
  variable: plan,
  decode(text: string): number | undefined {
    const value = Number(text)
    if (Number.isNaN(value)) throw new Error('no number')
    return value < 0 ? undefined : value
  },
  encode(value: number): string | undefined {
    if (value === 13) throw new Error('no such plan')
    return value === 0 ? undefined : String(value)
  },
}

const propagator = w3cBaggage({ members: { tenant, plan: planCodec } })

/** The baggage without the declared members. */
const othersOf = (context: LogicalContext) => String(context.get(baggage) ?? '')

describe('w3cBaggage, extracting declared members', () => {
  it.each<[name: string, header: string | string[], value: string | undefined, others: string, refusals?: string[]]>([
    ['the only one', 'tenant=acme', 'acme', ''],
    ['among others', 'a=1,tenant=acme,b=2', 'acme', 'a=1,b=2'],
    ['before others', 'tenant=acme,a=1,b=2', 'acme', 'a=1,b=2'],
    ['after others', 'a=1,b=2,tenant=acme', 'acme', 'a=1,b=2'],
    ['between empty members', ',tenant=acme,', 'acme', ''],
    ['without an equals sign, among others', 'a=1,tenant,b=2', undefined, 'a=1,b=2', ['malformed baggage.tenant']],
    ['twice in a row, among others', 'a=1,tenant=x,tenant=y,b=2', undefined, 'a=1,b=2', ['duplicate baggage.tenant']],
    ['next to another declared one', 'a=1,plan=7,b=2,tenant=acme,c=3', 'acme', 'a=1,b=2,c=3'],
    ['a key that ends like it', 'a=1,xtenant=acme', undefined, 'a=1,xtenant=acme'],
    ['after a long malformed member', `a=1,${'x'.repeat(4097)},tenant=acme,b=2`, 'acme', 'a=1,b=2'],
    [
      'before a member that exceeds the limits',
      `a=1,tenant=acme,${'x'.repeat(8192)},b=2`,
      'acme',
      'a=1',
      ['truncated baggage'],
    ],
    ['with blanks', ' tenant = acme ', 'acme', ''],
    ['with tabs', 'a=1,\ttenant\t=\tacme\t', 'acme', 'a=1'],
    ['without an equals sign, among blanks', 'a=1, tenant, b=2', undefined, 'a=1,b=2', ['malformed baggage.tenant']],
    ['an escaped value', 'tenant=a%20b%C3%A9', 'a bé', ''],
    ['bytes that are not UTF-8', 'tenant=a%FF', 'a\ufffd', ''],
    ['with properties, which are left out', 'tenant=acme;p=1;q', 'acme', ''],
    ['an empty value', 'tenant=', '', ''],
    ['equals signs in the value', 'tenant=a==', 'a==', ''],
    ['on the second line', ['a=1', 'tenant=acme'], 'acme', 'a=1'],
    ['another case, which is another key', 'Tenant=acme', undefined, 'Tenant=acme'],
    ['an escaped key, which is another key', 'ten%61nt=acme', undefined, 'ten%61nt=acme'],
    ['a key that begins like it', 'tenants=acme', undefined, 'tenants=acme'],
    ['none', 'a=1', undefined, 'a=1'],
    ['a malformed member next to it', 'tenant=acme,x y=1,a=1', 'acme', 'a=1'],
    ['twice, which is refused', 'tenant=acme,tenant=evil', undefined, '', ['duplicate baggage.tenant']],
    ['twice the same, which is refused', 'tenant=acme,tenant=acme', undefined, '', ['duplicate baggage.tenant']],
    ['on two lines, which is refused', ['tenant=acme', 'tenant=evil'], undefined, '', ['duplicate baggage.tenant']],
    ['thrice, which is refused once', 'tenant=a,tenant=b,tenant=c', undefined, '', ['duplicate baggage.tenant']],
    ['twice with one malformed', 'tenant=acme,tenant=a b', undefined, '', ['duplicate baggage.tenant']],
    ['twice far apart', 'tenant=a,x=1,y=2, tenant =b', undefined, 'x=1,y=2', ['duplicate baggage.tenant']],
    ['a value with a blank', 'tenant=a b', undefined, '', ['malformed baggage.tenant']],
    ['a quoted value', 'tenant="a"', undefined, '', ['malformed baggage.tenant']],
    ['a value with a line feed', 'tenant=a\nb', undefined, '', ['malformed baggage.tenant']],
    ['a malformed property', 'tenant=acme;p q', undefined, '', ['malformed baggage.tenant']],
    ['without an equals sign', 'tenant', undefined, '', ['malformed baggage.tenant']],
    ['without a value, but with a property', 'tenant;a=b', undefined, ''],
  ])('%s', (_name, header, value, others, expected = []) => {
    const { context, refusals } = extractFrom(propagator, { baggage: header })

    expect(context.get(tenant)).toBe(value)
    expect(othersOf(context).replaceAll(' ', '')).toBe(others)
    expect(refusals).toEqual(expected)
  })

  it.each<[name: string, text: string, value: number | undefined, refusals?: string[]]>([
    ['a value it takes', '7', 7],
    ['a value that decodes to something falsy', '0', 0],
    ['a value for which it returns undefined', '-1', undefined, ['refused baggage.plan']],
    ['a value for which it throws', 'gold', undefined, ['refused baggage.plan']],
    ['an escaped value', '%37', 7],
  ])('hands its decode() %s', (_name, text, value, expected = []) => {
    const { context, refusals } = extractFrom(propagator, { baggage: `plan=${text}` })

    expect(context.get(plan)).toBe(value)
    expect(context.has(plan)).toBe(value !== undefined)
    expect(refusals).toEqual(expected)
  })

  it('takes members with keys that Object has', () => {
    const variable = new ContextVar<string>('odd')
    const members = JSON.parse('{"__proto__":1,"constructor":1}') as Record<string, unknown>
    for (const key of Object.keys(members)) Object.defineProperty(members, key, { value: variable, enumerable: true })

    const { context } = extractFrom(w3cBaggage({ members: members as Record<string, ContextVar<string>> }), {
      baggage: '__proto__=polluted',
    })

    expect(context.get(variable)).toBe('polluted')
    expect(({} as Record<string, unknown>)['polluted']).toBe(undefined)
  })

  it('keeps a value that is in the context already', () => {
    const before = LogicalContext.empty.with(tenant, 'ours')

    expect(extractFrom(propagator, { baggage: 'tenant=theirs' }, {}, before).context.get(tenant)).toBe('ours')
  })
})

describe('w3cBaggage, extracting the others', () => {
  it('leaves the text as it came, where no member of it is declared', () => {
    const text = ' a = 1 ;p, b=%41 '

    expect(othersOf(extractFrom(propagator, { baggage: text }).context)).toBe(text)
    expect(othersOf(extractFrom(w3cBaggage(), { baggage: text }).context)).toBe(text)
  })

  it.each<[name: string, text: string, rest: string]>([
    ['blanks', ' a = 1 ;p, tenant=acme, b=%41 ', ' a = 1 ;p, b=%41 '],
    ['an empty member after it', 'a=1,tenant=acme,', 'a=1,'],
    ['an empty member in front', ',tenant=acme,a=1', ',a=1'],
    ['a malformed member', 'a b,tenant=acme,a=1', 'a b,a=1'],
    ['several to be cut out', 'tenant=x,a=1,tenant=y,tenant=z, b=2,plan=7', 'a=1, b=2'],
  ])('leaves the rest of a text as it came, too: %s', (_name, text, rest) => {
    const { context } = extractFrom(propagator, { baggage: text })

    const untouched = Baggage.parse(rest)
    expect(othersOf(context)).toBe(String(untouched))
    expect([...(context.get(baggage)?.refusals ?? [])]).toEqual([...untouched.refusals])
  })

  it.each(['tenant=acme,plan=7', ' tenant=acme, plan=7', 'tenant=acme,tenant=evil'])(
    'sets no baggage where nothing is left: %s',
    (header) => {
      const { context } = extractFrom(propagator, { baggage: header })

      expect(context.has(baggage)).toBe(false)
    },
  )

  it.each(['a=1,tenant=acme,b=2', 'a=1, tenant=acme, b=2'])('counts how many are left: %s', (header) => {
    const { context } = extractFrom(propagator, { baggage: header })

    expect(context.get(baggage)?.size).toBe(2)
  })

  it.each<[name: string, text: string]>([
    ['many members', Array.from({ length: 65 }, () => 'a=1').join(',')],
    ['as many bytes as may be', ','.repeat(8192)],
  ])('does not parse a text before it is read, if no member is declared: %s', (_name, text) => {
    const { context, refusals } = extractFrom(w3cBaggage(), { baggage: text })

    expect(refusals).toEqual([])
    expect(context.get(baggage)?.refusals).toEqual(['truncated'])
  })

  it('drops them with others: drop', () => {
    const { context } = extractFrom(w3cBaggage({ members: { tenant }, others: 'drop' }), { baggage: 'a=1,tenant=acme' })

    expect(context.get(tenant)).toBe('acme')
    expect(context.has(baggage)).toBe(false)
  })

  it('keeps a baggage that is in the context already', () => {
    const before = LogicalContext.empty.with(baggage, Baggage.parse('ours=1'))

    expect(othersOf(extractFrom(propagator, { baggage: 'theirs=1' }, {}, before).context)).toBe('ours=1')
  })

  it.each<[name: string, headers: Record<string, string>]>([
    ['no header', {}],
    ['an empty header', { baggage: '' }],
  ])('sets nothing for %s', (_name, headers) => {
    const { context, refusals } = extractFrom(propagator, headers)

    expect(context).toBe(LogicalContext.empty)
    expect(refusals).toEqual([])
  })
})

describe('w3cBaggage, from a peer that may set no values', () => {
  it.each<[name: string, header: string | string[]]>([
    ['a declared member', 'tenant=acme'],
    ['another member', 'a=1'],
    ['several lines', ['tenant=acme', 'tenant=evil']],
    ['what breaks the grammar', '\n'],
    ['more than the limits', 'x'.repeat(10_000)],
  ])('takes nothing, and says so once: %s', (_name, header) => {
    const { context, refusals } = extractFrom(propagator, { baggage: header }, { values: false })

    expect(context).toBe(LogicalContext.empty)
    expect(refusals).toEqual(['refused baggage'])
  })

  it.each<[name: string, headers: Record<string, string>]>([
    ['no header', {}],
    ['an empty header', { baggage: '' }],
  ])('says nothing of %s', (_name, headers) => {
    expect(extractFrom(propagator, headers, { values: false }).refusals).toEqual([])
  })
})

describe('w3cBaggage, within its limits (3.3.2)', () => {
  const filler = (count: number) => Array.from({ length: count }, (_, i) => `f${i}=1`).join(',')

  it.each<[name: string, header: string, value: string | undefined, refusals: string[]]>([
    ['the 64th member', `${filler(63)},tenant=acme`, 'acme', []],
    ['the 65th member', `${filler(64)},tenant=acme`, undefined, ['truncated baggage']],
    ['after 63 empty members', `${','.repeat(63)}tenant=acme`, 'acme', []],
    ['after 64 empty members', `${','.repeat(64)}tenant=acme`, undefined, ['truncated baggage']],
    ['after 64 malformed members', `${'x,'.repeat(64)}tenant=acme`, undefined, ['truncated baggage']],
    ['of 8192 bytes', `tenant=${'x'.repeat(8185)}`, 'x'.repeat(8185), []],
    ['of 8193 bytes', `tenant=${'x'.repeat(8186)}`, undefined, ['truncated baggage']],
    ['of 8192 bytes with whitespace', `tenant= ${'x'.repeat(8184)}`, 'x'.repeat(8184), []],
    ['that ends at 8192 bytes', `${' '.repeat(4090)},${' '.repeat(4089)},tenant=acme`, 'acme', []],
    [
      'that ends at 8193 bytes',
      `${' '.repeat(4090)},${' '.repeat(4089)},tenant=acme1`,
      undefined,
      ['truncated baggage'],
    ],
    ['in front of too much', `tenant=acme,${'x'.repeat(10_000)}`, 'acme', ['truncated baggage']],
    [
      'that comes again beyond 64 members',
      `tenant=evil,${filler(63)}, tenant =acme`,
      undefined,
      ['truncated baggage', 'duplicate baggage.tenant'],
    ],
    [
      'with its key in its value, in front of too much',
      `tenant=tenants,${'x'.repeat(10_000)}`,
      'tenants',
      ['truncated baggage'],
    ],
    [
      'whose key may come again in what is too long',
      `tenant=acme,x=${'x'.repeat(8192)}tenant`,
      undefined,
      ['truncated baggage', 'duplicate baggage.tenant'],
    ],
    [
      'that comes again beyond 8192 bytes',
      `tenant=evil,${'x'.repeat(8192)},tenant=acme`,
      undefined,
      ['truncated baggage', 'duplicate baggage.tenant'],
    ],
    [
      'that comes again after a long one of itself',
      `tenant=${'x'.repeat(4090)},tenant=acme`,
      undefined,
      ['duplicate baggage.tenant'],
    ],
  ])('takes or leaves the member %s', (_name, header, value, expected) => {
    const { context, refusals } = extractFrom(propagator, { baggage: header })

    expect(context.get(tenant)).toBe(value)
    expect(refusals).toEqual(expected)
  })

  it('spends one budget on all lines', () => {
    const { context, refusals } = extractFrom(propagator, { baggage: [filler(40), filler(40), 'tenant=acme'] })

    expect(context.has(tenant)).toBe(false)
    expect(refusals).toEqual(['truncated baggage'])
  })

  it('cuts the others as they come in', () => {
    const { context, refusals } = extractFrom(w3cBaggage(), { baggage: filler(5000) })

    expect(context.get(baggage)?.size).toBe(64)
    expect(refusals).toEqual(['truncated baggage'])
  })

  it('writes as many members as fit, the declared ones first', () => {
    const context = LogicalContext.empty.with(baggage, Baggage.parse(filler(64))).with(tenant, 'acme')

    const { headers, refusals } = injectInto(propagator, context)

    expect(headers['baggage']).toBe(`tenant=acme,${filler(63)}`)
    expect(refusals).toEqual(['truncated baggage'])
  })

  it('counts bytes as they are after encoding', () => {
    const { headers, refusals } = injectInto(propagator, LogicalContext.empty.with(tenant, 'é'.repeat(1365)))

    expect(headers).toEqual({})
    expect(refusals).toEqual(['truncated baggage'])
    expect(injectInto(propagator, LogicalContext.empty.with(tenant, 'é'.repeat(1364))).headers['baggage']).toHaveLength(
      8191,
    )
  })
})

describe('w3cBaggage, injecting', () => {
  const context = LogicalContext.empty.with(tenant, 'a b').with(plan, 7).with(baggage, Baggage.parse('x=1;p, y = 2'))

  it.each<[name: string, values: Destination['values'], header: string | undefined]>([
    ['everything', true, 'tenant=a%20b,plan=7,x=1;p,y=2'],
    ['nothing', false, undefined],
    ['one member', [tenant], 'tenant=a%20b'],
    ['two members, in the order of declaration', [plan, tenant], 'tenant=a%20b,plan=7'],
    ['the others', [baggage], 'x=1;p, y = 2'],
    ['one member and the others', [baggage, plan], 'plan=7,x=1;p,y=2'],
    ['nothing by an empty list', [], undefined],
    ['nothing of another variable', [secret], undefined],
  ])('sends a destination %s', (_name, values, header) => {
    expect(injectInto(propagator, context, { values }).headers['baggage']).toBe(header)
  })

  it('goes where no trace may', () => {
    expect(injectInto(propagator, context, { trace: false }).headers['baggage']).toContain('tenant')
  })

  it.each<[name: string, value: unknown, header: string | undefined, refusals?: string[]]>([
    ['a text', 'acme', 'tenant=acme'],
    ['an empty text', '', 'tenant='],
    ['what must be escaped', 'a,b;c="d"\\', 'tenant=a%2Cb%3Bc=%22d%22%5C'],
    ['line ends', 'a\r\nx-admin: 1', 'tenant=a%0D%0Ax-admin:%201'],
    ['a lone surrogate', '\ud800', 'tenant=%EF%BF%BD'],
    ['undefined, which is nothing', undefined, undefined],
    ['a number, which has no codec', 1, undefined, ['malformed baggage.tenant']],
    ['null, which has no codec', null, undefined, ['malformed baggage.tenant']],
    ['an object, which has no codec', {}, undefined, ['malformed baggage.tenant']],
  ])('writes %s', (_name, value, header, expected = []) => {
    const { headers, refusals } = injectInto(propagator, LogicalContext.empty.with(tenant, value as string))

    expect(headers['baggage']).toBe(header)
    expect(refusals).toEqual(expected)
  })

  it('does not encode a value that is too long to be written', () => {
    const long = LogicalContext.empty.with(tenant, '\u20ac'.repeat(10_000_000))
    const encode = vi.spyOn(Buffer, 'from')

    const { headers, refusals } = injectInto(propagator, long)
    const calls = encode.mock.calls.length
    encode.mockRestore()

    expect(headers).toEqual({})
    expect(refusals).toEqual(['truncated baggage'])
    expect(calls).toBe(0)
  })

  it.each<[name: string, value: number, header: string | undefined, refusals?: string[]]>([
    ['a text', 7, 'plan=7'],
    ['undefined, which is nothing', 0, undefined],
    ['an error', 13, undefined, ['malformed baggage.plan']],
  ])('writes what encode() returns: %s', (_name, value, header, expected = []) => {
    const { headers, refusals } = injectInto(propagator, LogicalContext.empty.with(plan, value))

    expect(headers['baggage']).toBe(header)
    expect(refusals).toEqual(expected)
  })

  it('does not write a default', () => {
    const region = new ContextVar<string, string>('region', { default: 'eu' })

    expect(injectInto(w3cBaggage({ members: { region } }), LogicalContext.empty).headers).toEqual({})
  })

  it('writes a declared member only from its variable', () => {
    const forged = LogicalContext.empty.with(baggage, Baggage.parse('tenant=evil,x=1'))

    expect(injectInto(propagator, forged).headers['baggage']).toBe('x=1')
    expect(injectInto(propagator, forged.with(tenant, 'acme')).headers['baggage']).toBe('tenant=acme,x=1')
  })

  it('writes the others unchanged, after its own, as long as both fit the limits', () => {
    const write = (own: string, others: string) => {
      const full = LogicalContext.empty.with(tenant, own).with(baggage, Baggage.parse(others))
      const { headers, refusals } = injectInto(propagator, full)
      return [headers['baggage'], ...refusals]
    }
    const many = Array.from({ length: 63 }, (_, place) => `k${place}=v`).join(',')
    const others = `a=${'x'.repeat(4000)},b=${'y'.repeat(4000)}`
    const room = 8192 - others.length - 'tenant=,'.length

    expect(write('acme', 'a=1;p;q=2,b=')).toEqual(['tenant=acme,a=1;p;q=2,b='])
    expect(write('acme', many)).toEqual([`tenant=acme,${many}`])
    expect(write('z'.repeat(room), others)).toEqual([`tenant=${'z'.repeat(room)},${others}`])
    expect(write('z'.repeat(room + 1), others)).toEqual([
      `tenant=${'z'.repeat(room + 1)},a=${'x'.repeat(4000)}`,
      'truncated baggage',
    ])
  })

  it('writes the others as they came where no member is declared', () => {
    const text = ' a = 1 ;p, b=%41 '

    const { headers, refusals } = injectInto(w3cBaggage(), LogicalContext.empty.with(baggage, Baggage.parse(text)))

    expect(headers['baggage']).toBe(text)
    expect(refusals).toEqual([])
  })

  it.each(['region=eu,a=1,tenant=acme,b=2', 'region=eu, a=1, tenant=acme, b=2'])(
    'writes none of its own members from what another propagator has taken: %s',
    (header) => {
      const outbound = w3cBaggage({ members: { region: new ContextVar<string>('region') } })
      const { context: taken } = extractFrom(propagator, { baggage: header })

      const others = injectInto(outbound, taken).headers['baggage']

      expect(others?.replaceAll(' ', '')).toBe('a=1,b=2')
    },
  )

  it('omits members that break the grammar, and reports them', () => {
    const broken = LogicalContext.empty.with(baggage, Baggage.parse('x=1,y z=2\n'))

    const { headers, refusals } = injectInto(propagator, broken)

    expect(headers['baggage']).toBe('x=1')
    expect(refusals).toEqual(['malformed baggage'])
  })

  it('writes none of the others with others: drop', () => {
    const dropping = w3cBaggage({ members: { tenant }, others: 'drop' })

    expect(injectInto(dropping, context).headers['baggage']).toBe('tenant=a%20b')
  })

  it.each<[name: string, header: Record<string, string>]>([
    ['a header', { baggage: 'mine=1' }],
    ['a header in another case', { Baggage: 'mine=1' }],
    ['an empty header', { baggage: '' }],
  ])('leaves alone what the caller has set: %s', (_name, header) => {
    expect(injectInto(propagator, context, {}, { ...header }).headers).toEqual(header)
  })

  it('returns what it has read', () => {
    const header = { baggage: 'plan=7,tenant=%C3%A9,x=1;p,__proto__=2,1=3' }

    const { context: taken } = extractFrom(propagator, header)

    expect(injectInto(propagator, taken).headers['baggage']).toBe('tenant=%C3%A9,plan=7,x=1;p,__proto__=2,1=3')
  })
})

describe('w3cBaggage, registered', () => {
  it.each<[name: string, options: unknown, message: string]>([
    ['no object', 7, 'w3cBaggage: expected an options object, got 7.'],
    ['an unknown option', { member: {} }, "w3cBaggage: unknown option 'member', expected one of: members, others."],
    ['members that are a list', { members: [] }, "w3cBaggage: option 'members' expected an object of members, got []."],
    [
      'members that are null',
      { members: null },
      "w3cBaggage: option 'members' expected an object of members, got null.",
    ],
    [
      'members that are a text',
      { members: 'tenant' },
      "w3cBaggage: option 'members' expected an object of members, got 'tenant'.",
    ],
    [
      'another word for the others',
      { others: 'keeps' },
      "w3cBaggage: option 'others' expected 'keep' or 'drop', got 'keeps'.",
    ],
    [
      'a key that is not a token',
      { members: { 'a b': tenant } },
      "w3cBaggage: expected the key of a member to be a token, got 'a b'.",
    ],
    ['an empty key', { members: { '': tenant } }, "w3cBaggage: expected the key of a member to be a token, got ''."],
    [
      'no variable',
      { members: { tenant: 'tenant' } },
      "w3cBaggage: expected member 'tenant' to be a ContextVar or { variable, decode, encode }, got 'tenant'.",
    ],
    [
      'null for a variable',
      { members: { tenant: null } },
      "w3cBaggage: expected member 'tenant' to be a ContextVar or { variable, decode, encode }, got null.",
    ],
    [
      'a sensitive variable',
      { members: { secret } },
      "w3cBaggage: expected member 'secret' to be a variable that is not sensitive, got 'secret'.",
    ],
    [
      'a sensitive variable with a codec',
      { members: { x: { variable: secret, decode: String, encode: String } } },
      "w3cBaggage: expected member 'x' to be a variable that is not sensitive, got 'secret'.",
    ],
  ])('throws for %s', (_name, options, message) => {
    expect(() => w3cBaggage(options as never)).toThrow(new TypeError(message))
  })

  it.each<[name: string, codec: unknown]>([
    ['a variable', { variable: 'plan', decode: Number, encode: String }],
    ['decode()', { variable: plan, encode: String }],
    ['encode()', { variable: plan, decode: Number }],
  ])('throws for a codec without %s', (_name, codec) => {
    expect(() => w3cBaggage({ members: { plan: codec as never } })).toThrow(
      /^w3cBaggage: expected member 'plan' to be a ContextVar or \{ variable, decode, encode \}, got \{ .* \}\.$/,
    )
  })

  it.each<[name: string, codec: unknown, message: string]>([
    [
      'decode()',
      { variable: plan, decode: async () => 1, encode: String },
      "w3cBaggage, decode of member 'plan': expected a synchronous function, got [AsyncFunction: decode].",
    ],
    [
      'encode()',
      { variable: plan, decode: Number, encode: async () => '1' },
      "w3cBaggage, encode of member 'plan': expected a synchronous function, got [AsyncFunction: encode].",
    ],
  ])('throws for a codec with an async %s', (_name, codec, message) => {
    expect(() => w3cBaggage({ members: { plan: codec as never } })).toThrow(new TypeError(message))
  })

  it.each<[name: string, promise: () => unknown]>([
    ['a promise', () => Promise.resolve('7')],
    ['a promise that rejects', () => Promise.reject(new Error('rejected'))],
    ['a thenable', () => ({ then() {} })],
  ])('refuses a member whose codec returns %s, and logs that once', async (_name, promise) => {
    using logged = vi.spyOn(console, 'error').mockImplementation(() => {})
    const codec = { variable: plan, decode: promise as () => number, encode: promise as () => string }
    const late = w3cBaggage({ members: { plan: codec } })

    const read = [1, 2].map(() => extractFrom(late, { baggage: 'plan=7' }))
    const written = injectInto(late, LogicalContext.empty.with(plan, 7))
    // An unhandled rejection is emitted after the microtasks, and fails the run.
    await new Promise((resolve) => setImmediate(resolve))

    expect(read.map(({ context }) => context.has(plan))).toEqual([false, false])
    expect(read.map(({ refusals }) => refusals)).toEqual([['refused baggage.plan'], ['refused baggage.plan']])
    expect(written).toEqual({ headers: {}, refusals: ['malformed baggage.plan'] })
    expect(logged).toHaveBeenCalledOnce()
  })

  it('calls the methods of a codec with the codec as `this`', () => {
    class Codec {
      readonly variable = plan
      readonly #factor = 10
      decode(text: string) {
        return Number(text) * this.#factor
      }
      encode(value: number) {
        return String(value / this.#factor)
      }
    }
    const scaled = w3cBaggage({ members: { plan: new Codec() } })

    const { context } = extractFrom(scaled, { baggage: 'plan=7' })

    expect(context.get(plan)).toBe(70)
    expect(injectInto(scaled, context).headers).toEqual({ baggage: 'plan=7' })
  })

  it('does not compile for a variable that is not text without a codec, nor with a codec of another type', () => {
    const encode = (value: number) => String(value)

    // @ts-expect-error a number needs a codec
    w3cBaggage({ members: { plan } })
    // @ts-expect-error decode returns a string
    w3cBaggage({ members: { plan: { variable: plan, decode: (text: string) => text, encode } } })
    // @ts-expect-error encode takes a Date
    w3cBaggage({ members: { plan: { variable: plan, decode: Number, encode: (value: Date) => value.toISOString() } } })

    expect(w3cBaggage({ members: { plan: { variable: plan, decode: Number, encode } } }).fields).toEqual(['baggage'])
  })

  it('owns the field baggage', () => {
    expect(propagator.fields).toEqual(['baggage'])
  })
})
