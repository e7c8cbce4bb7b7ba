import { current, LogicalContext } from 'logical-context'
import { inject } from 'logical-context/clients/inject'
import { describe, expect, it } from 'vitest'
import { asCaller, propagators, user } from './caller.ts'

const injectValues = inject.with({ propagators, values: ['orders.internal', { host: 'only.test', only: [user] }] })

describe('inject', () => {
  it.each<[name: string, carrier: object, read: (carrier: never) => unknown]>([
    ['Headers', new Headers(), (headers: Headers) => headers.get('baggage')],
    ['a Map', new Map<string, string>(), (map: Map<string, string>) => map.get('baggage')],
    ['an object', {}, (headers: Record<string, string>) => headers['baggage']],
    ['one array', ['accept', 'a/b'], (list: string[]) => list[list.indexOf('baggage') + 1]],
  ])('writes into %s what the callee may know', (_, carrier, read) => {
    asCaller(() => injectValues(current(), carrier as never, { to: 'http://orders.internal/' }))

    expect(read(carrier as never)).toBe('tenant=acme,user=ann')
  })

  it.each<[name: string, to: string | URL | undefined, baggage: string | undefined]>([
    ['a listed host', 'https://orders.internal:8443/a?b', 'tenant=acme,user=ann'],
    ['a URL', new URL('http://only.test'), 'user=ann'],
    ['another host', 'http://orders.internal.evil.test/', undefined],
    ['another scheme', 'amqp://orders.internal', 'tenant=acme,user=ann'],
    ['nobody known', undefined, undefined],
  ])('judges by the URL of the callee: %s', (_, to, baggage) => {
    const headers: Record<string, string> = {}

    asCaller(() => injectValues(current(), headers, to === undefined ? undefined : { to }))

    expect(headers['baggage']).toBe(baggage)
    expect(headers['x-request-id']).toBe('request-of-ann')
  })

  it('tells of the context that it is given', () => {
    const headers: Record<string, string> = {}

    asCaller(() => inject(LogicalContext.empty, headers))

    expect(headers).toEqual({})
  })

  it('keeps what is there, in any case', () => {
    const headers = { TraceParent: 'mine', BAGGAGE: 'a=1' }

    asCaller(() => injectValues(current(), headers, { to: 'http://orders.internal' }))

    expect(headers).toEqual({ TraceParent: 'mine', BAGGAGE: 'a=1', 'x-request-id': 'request-of-ann' })
  })

  it.each<[name: string, call: () => void, message: string]>([
    ['a host for a URL', () => inject(current(), {}, { to: 'orders' }), "option 'to' expected an absolute URL"],
    [
      'an object that is no URL, without turning it into a text',
      () =>
        inject(
          current(),
          {},
          {
            to: {
              toString() {
                throw new RangeError('not asked for')
              },
            } as never,
          },
        ),
      "option 'to' expected an absolute URL",
    ],
    ['an unknown option of a call', () => inject(current(), {}, { url: '' } as never), "unknown option 'url'"],
    ['an unknown option', () => inject.with({ value: [] } as never), "unknown option 'value'"],
    ['no options', () => inject.with(null as never), 'inject: expected an options object, got null'],
    ['no host', () => inject.with({ values: ['*'] }), 'inject: expected a host'],
  ])('throws a TypeError for %s', (_, call, message) => {
    expect(call).toThrow(TypeError)
    expect(call).toThrow(message)
  })
})
