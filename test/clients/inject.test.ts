import { current, LogicalContext, runInScope } from 'logical-context'
import { inject } from 'logical-context/clients/inject'
import { describe, expect, it } from 'vitest'
import { asCaller, propagators, user } from './caller.ts'

const injectValues = inject.with({ propagators, values: ['orders.internal', { host: 'only.test', only: [user] }] })

describe('inject', () => {
  it.each<[name: string, carrier: object, read: (carrier: never) => unknown]>([
    ['Headers', new Headers(), (headers: Headers) => headers.get('baggage')],
    ['a Map', new Map<string, string>(), (map: Map<string, string>) => map.get('baggage')],
    ['an object', {}, (headers: Record<string, string>) => headers['baggage']],
    ['an object without a prototype', Object.create(null), (headers: Record<string, string>) => headers['baggage']],
    ['one array', ['accept', 'a/b'], (list: string[]) => list[list.indexOf('baggage') + 1]],
  ])('writes into %s what the callee may receive', (_, carrier, read) => {
    asCaller(() => injectValues(carrier as never, { to: 'http://orders.internal/' }))

    expect(read(carrier as never)).toBe('tenant=acme,user=ann')
  })

  it.each<[name: string, to: string | URL | undefined, baggage: string | undefined]>([
    ['a listed host', 'https://orders.internal:8443/a?b', 'tenant=acme,user=ann'],
    ['a URL', new URL('http://only.test'), 'user=ann'],
    ['another host', 'http://orders.internal.evil.test/', undefined],
    ['another scheme', 'amqp://orders.internal', 'tenant=acme,user=ann'],
    ['an unknown callee', undefined, undefined],
  ])('matches the URL of the callee: %s', (_, to, baggage) => {
    const headers: Record<string, string> = {}

    asCaller(() => injectValues(headers, to === undefined ? undefined : { to }))

    expect(headers['baggage']).toBe(baggage)
    expect(headers['x-request-id']).toBe('request-of-ann')
  })

  it('writes the context that it is given instead of the current one', () => {
    const [headers, none]: Record<string, string>[] = [{}, {}]
    const ofBob = asCaller(() => current(), 'bob')

    asCaller(() => {
      injectValues(headers ?? {}, { to: 'http://orders.internal', context: ofBob })
      inject(none ?? {}, { context: LogicalContext.empty })
    })

    expect(headers).toMatchObject({ 'x-request-id': 'request-of-bob', baggage: 'tenant=acme,user=bob' })
    expect(none).toEqual({})
  })

  it('takes an option that is undefined as not set', () => {
    const headers: Record<string, string> = {}

    asCaller(() => injectValues(headers, { to: undefined, context: undefined }))

    expect(headers['x-request-id']).toBe('request-of-ann')
  })

  it('writes nothing outside any unit', () => {
    const headers = {}

    inject(headers)

    expect(headers).toEqual({})
  })

  it('keeps headers that are already set, in any case', () => {
    const headers = { TraceParent: 'mine', BAGGAGE: 'a=1' }

    asCaller(() => injectValues(headers, { to: 'http://orders.internal' }))

    expect(headers).toEqual({ TraceParent: 'mine', BAGGAGE: 'a=1', 'x-request-id': 'request-of-ann' })
  })

  it.each<[name: string, call: () => void, message: string | RegExp]>([
    [
      'swapped arguments',
      () => inject(current() as never, {}),
      /^inject: expected a carrier, such as Headers, a Map or an object of headers, got LogicalContext \{.*\}\.$/,
    ],
    [
      'swapped arguments with a Map',
      () => inject({ to: 'http://a.test' }, new Map() as never),
      'inject: expected an options object as second argument, got Map(0) {}.',
    ],
    [
      'swapped arguments with Headers',
      () => inject({ to: 'http://a.test' }, new Headers() as never),
      'inject: expected an options object as second argument, got Headers {}.',
    ],
    ['swapped arguments with an array', () => inject({}, [] as never), 'inject: expected an options object, got []'],
    [
      'a context in the place of the options',
      () => inject({}, current() as never),
      'inject: expected an options object as second argument, got LogicalContext {}.',
    ],
    [
      'the order of earlier versions',
      () => (inject as (...args: unknown[]) => void)(current(), {}, { to: 'http://a.test' }),
      'inject: expected a carrier',
    ],
    ['no carrier', () => inject(undefined as never), 'inject: expected a carrier'],
    ['null as the carrier', () => inject(null as never), 'inject: expected a carrier'],
    ['a text as the carrier', () => inject('traceparent' as never), 'inject: expected a carrier'],
    ['a function as the carrier', () => inject((() => {}) as never), 'inject: expected a carrier'],
    ['null as the options', () => inject({}, null as never), 'inject: expected an options object, got null'],
    [
      'an object as the context',
      () => inject({}, { context: {} as never }),
      "inject: option 'context' expected a LogicalContext, got {}.",
    ],
    ['a host for a URL', () => inject({}, { to: 'orders' }), "option 'to' expected an absolute URL"],
    [
      'an object that is not a URL, without converting it to a text',
      () =>
        inject(
          {},
          {
            to: {
              toString() {
                throw new RangeError('was called')
              },
            } as never,
          },
        ),
      "option 'to' expected an absolute URL",
    ],
    ['an unknown option of a call', () => inject({}, { url: '' } as never), "unknown option 'url'"],
    ['an unknown option', () => inject.with({ value: [] } as never), "unknown option 'value'"],
    ['null as the options of with()', () => inject.with(null as never), 'inject: expected an options object, got null'],
    ['an invalid host', () => inject.with({ values: ['*'] }), 'inject: expected a host of your own'],
    [
      'every host for the trace',
      () => inject.with({ trace: ['0.0.0.0/0'] }),
      "inject: expected a host of your own, got '0.0.0.0/0', which is every host: write trace: true.",
    ],
  ])('throws a TypeError for %s', (_, call, message) => {
    expect(() => runInScope(call)).toThrow(TypeError)
    expect(() => runInScope(call)).toThrow(message)
  })
})
