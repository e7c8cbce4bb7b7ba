import { describe, expect, it } from 'vitest'
import { isRight, type LogLine, subjectOf, unitsOf } from '../../examples/server/log-lines.ts'

const sent = { id: 'order-01', tenant: 'acme', user: 'ada' }

function lineOf(fields: Partial<LogLine>): LogLine {
  return { time: 0, name: 'orders', msg: 'x', request_id: sent.id, tenant: sent.tenant, user: sent.user, ...fields }
}

describe('isRight', () => {
  it('accepts a line with the values that were sent', () => {
    expect(isRight(lineOf({}), undefined, sent)).toBe(true)
  })

  it.each<[name: string, fields: Partial<LogLine>]>([
    ["another request's tenant", { tenant: 'globex' }],
    ["another request's user", { user: 'bob' }],
    ["another request's id", { request_id: 'order-02' }],
    ['another request altogether', { request_id: 'order-02', tenant: 'globex', user: 'bob' }],
    ['no tenant', { tenant: undefined }],
    ['no user', { user: undefined }],
    ['no request id', { request_id: undefined }],
    ['nothing of its context', { request_id: undefined, tenant: undefined, user: undefined }],
  ])('rejects a line with %s', (_, fields) => {
    expect(isRight(lineOf(fields), undefined, sent)).toBe(false)
  })

  it('rejects a line about a request that was not sent', () => {
    expect(isRight(lineOf({}), undefined, undefined)).toBe(false)
  })

  it('expects tenant and user on all lines except the first one of the gateway', () => {
    const first = { name: 'gateway', msg: 'incoming request' }
    const none = { tenant: undefined, user: undefined }

    expect(isRight(lineOf({ ...first, ...none }), undefined, sent)).toBe(true)
    expect(isRight(lineOf(first), undefined, sent)).toBe(false)
    expect(isRight(lineOf({ name: 'gateway', msg: 'request completed', ...none }), undefined, sent)).toBe(false)
  })

  it.each([
    ['inherit', 'ada', true],
    ['inherit', undefined, false],
    ['only tenant', undefined, true],
    ['only tenant', 'ada', false],
    ['isolate', undefined, true],
    ['isolate', 'ada', false],
  ])('judges a task with %s that sees the user %s: %s', (policy, user, right) => {
    const request = lineOf({ span_id: 'a' })
    const task = lineOf({ span_id: 'b', caused_by: 'a', policy, user })
    const call = lineOf({ name: 'warehouse', span_id: 'c', caused_by: 'b', user })
    const units = unitsOf([request, task, call])

    expect(isRight(task, units.get('b'), sent)).toBe(right)
    expect(isRight(call, units.get('c'), sent)).toBe(right)
  })
})

describe('subjectOf', () => {
  it('uses values that did not come from the context, so that a swapped context is found', () => {
    expect(subjectOf(lineOf({ order: 'order-03', request_id: 'order-04' }))).toBe('order-03')
    expect(subjectOf(lineOf({ reqId: 'order-03', request_id: 'order-04' }))).toBe('order-03')
    expect(subjectOf(lineOf({}))).toBe('order-01')
  })

  it('has no subject for a line of the service itself', () => {
    expect(subjectOf(lineOf({ request_id: undefined }))).toBe('')
  })
})
