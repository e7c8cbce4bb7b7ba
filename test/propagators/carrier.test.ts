import { Headers as UndiciHeaders } from 'undici'
import { type Carrier, carrierOf, type CarrierSource } from 'logical-context/propagators'
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
    ['an empty text, which is there', '', ''],
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

  it.each(['get', 'has', 'set'])('takes an object for headers whose %s is no method', (name) => {
    const methods = { get: () => 'x', has: () => true, set() {} }

    const carrier = carrierOf({ ...methods, [name]: 'a text' })

    expect(carrier.get(name)).toBe('a text')
  })

  it('gives a carrier back as it is', () => {
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

describe('a carrier of a message', () => {
  it.each<[name: string, value: unknown, text: string | undefined]>([
    ['bytes', Buffer.from('00-ab'), '00-ab'],
    ['a Uint8Array', new TextEncoder().encode('é'), 'é'],
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
    ['a boolean', true, undefined],
    ['a symbol', Symbol('a'), undefined],
    ['a list of nothing', [null, undefined], undefined],
  ])('reads %s', (_name, value, text) => {
    const sources = [{ name: value }, new Map([['name', value]]), ['name', value], [['name', value]]] as never[]
    const carriers = [...sources.map((source) => carrierOf(source)), incomingCarrier({ name: value } as never)]

    expect(carriers.map((carrier) => carrier.get('name'))).toEqual(carriers.map(() => text))
    expect(carriers.map((carrier) => carrier.has('name'))).toEqual(carriers.map(() => text !== undefined))
  })
})
