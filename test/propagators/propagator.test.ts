import { ContextVar } from 'logical-context'
import { type Destination, mayInject } from 'logical-context/propagators'
import { describe, expect, it } from 'vitest'

const tenant = new ContextVar<string>('tenant')
const other = new ContextVar<string>('tenant')
const secret = new ContextVar<string>('secret', { sensitive: true })

describe('mayInject', () => {
  it.each<[name: string, values: Destination['values'], variable: ContextVar<string>, answer: boolean]>([
    ['all', true, tenant, true],
    ['none', false, tenant, false],
    ['a list with it', [other, tenant], tenant, true],
    ['a list without it', [other], tenant, false],
    ['an empty list', [], tenant, false],
    ['all, but it is sensitive', true, secret, false],
    ['a list with it, but it is sensitive', [secret], secret, false],
  ])('answers for a destination that may be told %s', (_name, values, variable, answer) => {
    expect(mayInject({ trace: true, values, refuse() {} }, variable)).toBe(answer)
  })
})
