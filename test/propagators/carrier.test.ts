import { headers, MsgHdrsImpl } from '@nats-io/nats-core/internal'
import { LogicalContext } from 'logical-context'
import {
  b3,
  type Carrier,
  carrierOf,
  type CarrierSource,
  composite,
  w3cBaggage,
  w3cTraceContext,
} from 'logical-context/propagators'
import { traceContext } from 'logical-context/variables'
import { runInNewContext } from 'node:vm'
import { Headers as UndiciHeaders } from 'undici'
import { describe, expect, it } from 'vitest'
import { incomingCarrier } from '../../src/propagators/carrier.ts'

const platformHeaders = () => {
  const headers = new Headers({ TraceParent: 'a' })
  headers.append('baggage', 'x=1')
  headers.append('baggage', 'y=2')
  return headers
}
const undiciHeaders = () => {
  const headers = new UndiciHeaders({ TraceParent: 'a' })
  headers.append('baggage', 'x=1')
  headers.append('baggage', 'y=2')
  return headers
}

const sources: [name: string, make: () => CarrierSource][] = [
  ['Headers', platformHeaders],
  ["undici's Headers", undiciHeaders],
  ['an object with arrays', () => ({ traceparent: 'a', baggage: ['x=1', 'y=2'] })],
  ['an object with names in another case', () => ({ TraceParent: 'a', BAGGAGE: ['x=1', 'y=2'] })],
  ['an object with a name twice in two cases', () => ({ traceparent: 'a', baggage: 'x=1', Baggage: 'y=2' })],
  [
    'an object without a prototype',
    () => Object.assign(Object.create(null), { traceparent: 'a', baggage: 'x=1, y=2' }),
  ],
  [
    'a Map',
    () =>
      new Map([
        ['traceparent', 'a'],
        ['baggage', 'x=1, y=2'],
      ]),
  ],
  [
    'a Map with arrays',
    () =>
      new Map<string, string | string[]>([
        ['traceparent', ['a']],
        ['baggage', ['x=1', 'y=2']],
      ]),
  ],
  [
    'a Map with names in another case',
    () =>
      new Map([
        ['TRACEPARENT', 'a'],
        ['Baggage', 'x=1'],
        ['baggage', 'y=2'],
      ]),
  ],
  ['rawHeaders', () => ['TraceParent', 'a', 'Baggage', 'x=1', 'Accept', '*/*', 'baggage', 'y=2']],
  [
    'pairs',
    () => [
      ['TraceParent', 'a'],
      ['Baggage', 'x=1'],
      ['baggage', 'y=2'],
    ],
  ],
  ['records of node-rdkafka', () => [{ TraceParent: 'a' }, { Baggage: 'x=1' }, { baggage: 'y=2' }]],
]

describe('carrierOf', () => {
  it.each(sources)('reads %s', (_name, make) => {
    const carrier = carrierOf(make())

    expect(carrier.get('traceparent')).toBe('a')
    expect(carrier.get('baggage')).toBe('x=1, y=2')
    expect(carrier.get('tracestate')).toBe(undefined)
    expect(['traceparent', 'baggage', 'tracestate'].map((name) => carrier.has(name))).toEqual([true, true, false])
  })

  it.each(sources)('writes to %s', (_name, make) => {
    const source = make()

    carrierOf(source).set('tracestate', 'b=1')

    expect(carrierOf(source).get('tracestate')).toBe('b=1')
    expect(carrierOf(source).get('traceparent')).toBe('a')
  })

  it.each<[name: string, make: () => CarrierSource]>([
    ['Headers', () => new Headers()],
    ['an object', () => ({})],
    ['a Map', () => new Map<string, string>()],
    ['an array', () => []],
  ])('finds nothing in an empty %s, whatever Object has', (_name, make) => {
    const carrier = carrierOf(make())

    for (const name of ['constructor', 'toString', 'hasownproperty', 'length', '__proto__']) {
      if (name !== '__proto__') expect(carrier.get(name)).toBe(undefined)
      expect(carrier.has(name)).toBe(false)
    }
  })

  it('finds no header that an object has inherited', () => {
    const headers = Object.create({ traceparent: 'a' }) as Record<string, string>

    expect(carrierOf(headers).has('traceparent')).toBe(false)
    expect(incomingCarrier(headers).has('traceparent')).toBe(false)
  })

  it('finds a header of an object that is named __proto__', () => {
    const headers = JSON.parse('{"__proto__":"a"}') as Record<string, string>

    expect(carrierOf(headers).get('__proto__')).toBe('a')
    expect(incomingCarrier(headers).get('__proto__')).toBe('a')
  })

  it.each<[name: string, value: string | number | string[] | undefined, text: string | undefined]>([
    ['a text', 'a', 'a'],
    ['an empty text, which is present', '', ''],
    ['a number', 7, '7'],
    ['zero', 0, '0'],
    ['one line', ['a'], 'a'],
    ['several lines', ['a', 'b', 'c'], 'a, b, c'],
    ['undefined, which is not there', undefined, undefined],
  ])('reads of an object %s', (_name, value, text) => {
    for (const carrier of [carrierOf({ name: value }), incomingCarrier({ name: value })]) {
      expect(carrier.get('name')).toBe(text)
      expect(carrier.has('name')).toBe(text !== undefined)
    }
  })

  it('takes an object whose headers are named like the methods of a carrier', () => {
    const carrier = carrierOf({ get: '1', has: '2', set: '3' })

    expect([carrier.get('get'), carrier.get('has'), carrier.get('set')]).toEqual(['1', '2', '3'])
  })

  it.each(['get', 'has', 'set'])('treats an object whose %s is not a method as headers', (name) => {
    const methods = { get: () => 'x', has: () => true, set() {} }

    const carrier = carrierOf({ ...methods, [name]: 'a text' })

    expect(carrier.get(name)).toBe('a text')
  })

  it('returns a carrier unchanged', () => {
    const own: Carrier = { get: () => undefined, has: () => false, set() {} }

    expect(carrierOf(own)).toBe(own)
  })

  it('leaves out a name without a value at the end of rawHeaders', () => {
    expect(carrierOf(['a', '1', 'b']).get('b')).toBe(undefined)
  })
})

describe('incomingCarrier', () => {
  it('reads headers whose names are in lower case', () => {
    const carrier = incomingCarrier({ traceparent: 'a', 'set-cookie': ['a=1', 'b=2'] })

    expect(carrier.get('traceparent')).toBe('a')
    expect(carrier.get('set-cookie')).toBe('a=1, b=2')
    expect(carrier.get('constructor')).toBe(undefined)
  })

  it('writes a header', () => {
    const headers: Record<string, string> = {}

    incomingCarrier(headers).set('traceparent', 'a')

    expect(headers).toEqual({ traceparent: 'a' })
  })
})

const cyclic: unknown[] = []
cyclic.push(cyclic)

describe('a carrier of a message', () => {
  it.each<[name: string, value: unknown, text: string | undefined]>([
    ['bytes', Buffer.from('00-ab'), '00-ab'],
    ['a Uint8Array', new TextEncoder().encode('é'), 'é'],
    ['bytes of another realm', runInNewContext('Uint8Array.of(48, 48)'), '00'],
    ['an ArrayBuffer', new TextEncoder().encode('é').buffer, 'é'],
    ['a DataView', new DataView(new TextEncoder().encode('é').buffer), 'é'],
    ['a list of numbers', [48, 48], undefined],
    ['several lines of bytes', [Buffer.from('a'), 'b'], 'a, b'],
    ['an SQS attribute', { DataType: 'String', StringValue: 'a' }, 'a'],
    ['an SQS attribute of bytes', { DataType: 'Binary', BinaryValue: Buffer.from('a') }, undefined],
    ['null', null, undefined],
    ['a Date', new Date(0), undefined],
    ['an object', {}, undefined],
    [
      'an object that throws',
      new Proxy(
        {},
        {
          get: () => {
            throw new Error('boom')
          },
        },
      ),
      undefined,
    ],
    ['an SQS attribute of AWS Lambda', { dataType: 'String', stringValue: 'a', binaryValue: null }, 'a'],
    ['an SQS attribute of a number', { DataType: 'Number', StringValue: '7' }, '7'],
    ['a part of a longer buffer', Buffer.from('xax').subarray(1, 2), 'a'],
    ['an array in an array', [['a']], undefined],
    ['an array that contains itself', cyclic, undefined],
    ['a boolean', true, undefined],
    ['a symbol', Symbol('a'), undefined],
    ['a list of nothing', [null, undefined], undefined],
  ])('reads %s', (_name, value, text) => {
    const record = { name: value }
    const sources = [record, [record], new Map([['name', value]]), ['name', value], [['name', value]]] as never[]
    const carriers = [...sources.map((source) => carrierOf(source)), incomingCarrier({ name: value } as never)]

    expect(carriers.map((carrier) => carrier.get('name'))).toEqual(carriers.map(() => text))
    expect(carriers.map((carrier) => carrier.has('name'))).toEqual(carriers.map(() => text !== undefined))
  })

  it('does not throw for a getter or a proxy that throws, and for entries of another form', () => {
    const throwing = () => {
      throw new Error('boom')
    }
    const getter = { other: 'b', get name() { return throwing() } } // prettier-ignore
    const proxy = new Proxy({}, { ownKeys: throwing })
    const sources = [getter, [getter], proxy, [null, ['other', 'b'], undefined, 7, []], [{}, null]] as never[]

    const carriers = sources.map((source) => carrierOf(source))

    expect(carriers.map((carrier) => carrier.get('name'))).toEqual(sources.map(() => undefined))
    expect(carriers.map((carrier) => carrier.get('other'))).toEqual(['b', 'b', undefined, 'b', undefined])
  })

  it('has no field for the null that a carrier of the program returns', () => {
    const refusals: string[] = []
    const carrier = { get: () => null, has: () => false, set() {} } as unknown as Carrier

    const context = composite([w3cTraceContext(), b3(), w3cBaggage()]).extract(
      LogicalContext.empty,
      carrierOf(carrier),
      { trace: 'continue', values: true, refuse: (reason, field) => refusals.push(`${reason} ${field}`) },
    )

    expect(refusals).toEqual([])
    expect(context.has(traceContext)).toBe(true)
  })

  it('finds names that are bytes', () => {
    const entries: [unknown, unknown][] = [[Buffer.from('TraceParent'), Buffer.from('a')]]

    const sources = [new Map(entries), entries, entries.flat()] as never[]

    expect(sources.map((source) => carrierOf(source).get('traceparent'))).toEqual(['a', 'a', 'a'])
  })

  it.each([[null], [undefined], [7], [Symbol('traceparent')], [{ length: 11 }], [['traceparent']]])(
    'ignores a name that is %o',
    (name) => {
      const sources = [new Map([[name, 'a']]), [[name, 'a']], [name, 'a']] as never[]

      expect(sources.map((source) => carrierOf(source).get('traceparent'))).toEqual([undefined, undefined, undefined])
    },
  )

  it('has no fields if the message has no headers', () => {
    for (const source of [undefined, null]) {
      expect(carrierOf(source).get('traceparent')).toBeUndefined()
      expect(carrierOf(source).has('traceparent')).toBe(false)
      expect(() => carrierOf(source).set('traceparent', 'a')).toThrow(
        new TypeError("carrierOf: expected a carrier to write 'traceparent' to, got none."),
      )
    }
  })

  it.each(['traceparent: a', 7, true])('is not %o', (source) => {
    expect(() => carrierOf(source as never)).toThrow(/^carrierOf: expected a carrier, got /)
  })
})

describe('a carrier of the headers of NATS', () => {
  it('has no field for a missing header, whose text is empty in NATS', () => {
    const message = headers()

    expect(message.get('traceparent')).toBe('')
    expect(carrierOf(message).get('traceparent')).toBeUndefined()
    expect(carrierOf(message).has('traceparent')).toBe(false)
  })

  it.each(['traceparent', 'Traceparent', 'TRACEPARENT'])('finds %s in any case', (name) => {
    const message = headers()
    message.set(name, 'a')

    expect(carrierOf(message).get('traceparent')).toBe('a')
    expect(carrierOf(message).has('traceparent')).toBe(true)
  })

  it('joins the lines of a field, in all its cases', () => {
    const message = headers()
    message.append('Baggage', 'x=1')
    message.append('Baggage', 'y=2')
    message.append('baggage', 'z=3')

    expect(carrierOf(message).get('baggage')).toBe('x=1, y=2, z=3')
  })

  it('writes a header that NATS encodes and decodes', () => {
    const message = headers() as MsgHdrsImpl

    carrierOf(message).set('traceparent', 'a')

    expect(carrierOf(MsgHdrsImpl.decode(message.encode())).get('traceparent')).toBe('a')
  })

  it('begins a trace without a refusal if the message has none, and doubles no header of the program', () => {
    const message = headers()
    message.set('TraceParent', 'of the program')
    const refusals: string[] = []
    const refuse = (reason: string, field: string) => refusals.push(`${reason} ${field}`)
    const propagator = composite([w3cTraceContext(), b3()])

    const context = propagator.extract(LogicalContext.empty, carrierOf(headers()), {
      trace: 'continue',
      values: true,
      refuse,
    })
    propagator.inject(context, carrierOf(message), { trace: true, values: true, refuse })

    expect(refusals).toEqual([])
    expect(context.get(traceContext)?.parentSpanId).toBeUndefined()
    expect(message.keys().toSorted()).toEqual(['TraceParent', 'b3'])
  })
})
