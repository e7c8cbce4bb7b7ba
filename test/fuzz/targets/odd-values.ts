import { ContextVar } from 'logical-context'
import { b3, w3cBaggage } from 'logical-context/propagators'

const variable = new ContextVar<string>('variable')
const hostile = {
  get value() {
    throw new RangeError('a getter that throws')
  },
  toString() {
    throw new RangeError('a toString that throws')
  },
  [Symbol.for('nodejs.util.inspect.custom')]() {
    throw new RangeError('an inspection that throws')
  },
}

/** What a program may pass where something else is expected, by the name it has in an input. */
export const oddValues: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['undefined', undefined],
  ['null', null],
  ['true', true],
  ['false', false],
  ['0', 0],
  ['-0', -0],
  ['1', 1],
  ['-1', -1],
  ['1.5', 1.5],
  ['1e21', 1e21],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['1n', 1n],
  ['a symbol', Symbol('symbol')],
  ['a function', () => undefined],
  ['an async function', async () => undefined],
  ['a class', ContextVar],
  ['{}', {}],
  ['[]', []],
  ['[null]', [null]],
  ['a list of text', ['text']],
  ['a list of hosts', ['api.example.com', '.example.com:8443']],
  ['a list with holes', Array.from({ length: 2 })],
  ['a null prototype', Object.create(null)],
  ['a proxy', new Proxy({}, {})],
  ['a hostile object', hostile],
  ['a circular object', circular()],
  ['a Map', new Map([['a', 1]])],
  ['a Date', new Date(Number.NaN)],
  ['a RegExp', /a/],
  ['a URL', new URL('https://api.example.com')],
  ['an AbortSignal', AbortSignal.abort()],
  ['a variable', variable],
  ['a sensitive variable', new ContextVar<string>('secret', { sensitive: true })],
  ['{ only }', { only: [variable] }],
  ['{ only: 1 }', { only: 1 }],
  ['{ host, only }', { host: 'api.example.com', only: [variable] }],
  ['a list of rules', [{ host: 'api.example.com', only: [variable] }]],
  ['a list of wrong rules', [{ host: 'http://', only: [null] }]],
  ['members', { tenant: variable }],
  ['wrong members', { 'a b': variable, tenant: 1 }],
  ['limits', { maxRunning: 1, maxQueued: 1 }],
  ['a propagator', b3()],
  ['a list of propagators', [b3(), w3cBaggage()]],
  ['two of baggage', [w3cBaggage(), w3cBaggage()]],
])

function circular(): object {
  const value: { self?: object } = {}
  value.self = value
  return value
}
