import { describe, expect, it } from 'vitest'
import { openEnvelope, withEnvelope } from 'logical-context/messages/message'

describe('openEnvelope', () => {
  it('returns the data without the envelope, and the fields', () => {
    const sent = withEnvelope({ n: 1 }, { traceparent: '00-x' })

    expect(openEnvelope(JSON.parse(JSON.stringify(sent)))).toEqual({
      data: { n: 1 },
      fields: { traceparent: '00-x' },
      refused: undefined,
    })
  })

  it('replaces an envelope that a message has already, for example when it is enqueued again', () => {
    const again = withEnvelope(withEnvelope({ n: 1 }, { baggage: 'tenant=old' }), { traceparent: '00-x' })

    expect(openEnvelope(again).fields).toEqual({ traceparent: '00-x' })
  })

  it('takes what toJSON() of the data returns, as JSON does', () => {
    class Order {
      readonly #id = 'A-1'
      toJSON(): object {
        return { id: this.#id }
      }
    }

    expect(withEnvelope(new Order(), { traceparent: '00-x' })).toEqual({
      id: 'A-1',
      logicalContext: { v: 1, traceparent: '00-x' },
    })
    expect(() => withEnvelope(new Date(0), {})).toThrow('withEnvelope: expected an object as data')
  })

  it.each([
    ['another version', { v: 2, baggage: 'tenant=mallory' }, 'malformed'],
    ['no version', { baggage: 'tenant=mallory' }, 'malformed'],
    ['a value that is not a text', { v: 1, baggage: ['tenant=mallory'] }, 'malformed'],
    ['a text', 'tenant=mallory', 'malformed'],
    ['more than the limit', { v: 1, baggage: 'x'.repeat(20_000) }, 'truncated'],
  ])('takes no fields from an envelope with %s, and keeps the data', (_, logicalContext, refused) => {
    expect(openEnvelope({ n: 1, logicalContext })).toEqual({ data: { n: 1 }, fields: undefined, refused })
  })

  it.each([['a text'], [7], [null], [undefined], [[1, 2]]])('returns %j as it is', (received) => {
    expect(openEnvelope(received)).toEqual({ data: received, fields: undefined, refused: undefined })
  })

  it('treats keys of the prototype as ordinary keys', () => {
    const { fields } = openEnvelope(JSON.parse('{"logicalContext":{"v":1,"__proto__":"x","toString":"y"}}') as object)

    expect(Object.entries(fields ?? {})).toEqual([
      ['__proto__', 'x'],
      ['toString', 'y'],
    ])
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })
})
