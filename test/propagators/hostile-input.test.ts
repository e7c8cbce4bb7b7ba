import { ContextVar, LogicalContext } from 'logical-context'
import {
  b3,
  composite,
  requestTimeout,
  jaeger,
  xRequestId,
  w3cBaggage,
  w3cTraceContext,
} from 'logical-context/propagators'
import { extractFrom, injectInto } from 'logical-context/testing'
import { Baggage, Tracestate } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import { visitMembers } from '../../src/variables/baggage-grammar.ts'

const kilobyte = 1024
const sizes: [name: string, bytes: number][] = [
  ['8 KB', 8 * kilobyte],
  ['16 KB', 16 * kilobyte],
  ['64 KB', 64 * kilobyte],
  ['1 MB', 1024 * kilobyte],
]
const pieces: [name: string, piece: string][] = [
  ['blanks', ' '],
  ['tabs', '\t'],
  ['commas', ','],
  ['equals signs', '='],
  ['semicolons', ';'],
  ['percent signs', '%'],
  ['cut UTF-8', '%C3'],
  ['escaped commas', '%2C'],
  ['members', 'a=1,'],
  ['declared members', 'tenant=a,'],
  ['properties', 'a=1;b=2;'],
  ['empty values', 'a=,'],
  ['blanks and commas', ' ,'],
  ['one long token', 'a'],
  ['digits', '0'],
  ['colons', ':'],
  ['dashes', '-'],
  ['quotes', '"'],
  ['keys such as __proto__', '__proto__=1,'],
  ['letters beyond ASCII', 'é'],
  ['NUL', '\0'],
]
const shapes = pieces.flatMap(([shape, piece]) =>
  sizes.map(([size, bytes]): [string, string, string] => [
    size,
    shape,
    piece.repeat(Math.ceil(bytes / piece.length)).slice(0, bytes),
  ]),
)

const tenant = new ContextVar<string>('tenant')
const all = composite([
  w3cTraceContext(),
  w3cBaggage({ members: { tenant } }),
  xRequestId(),
  requestTimeout(),
  b3(),
  jaeger(),
])

describe('a header of any size and shape', () => {
  it.each(shapes)('is read and passed on within the limits: %s of %s', (_size, _shape, text) => {
    const headers = Object.fromEntries(all.fields.map((field) => [field, text]))

    const { context, refusals } = extractFrom(all, {
      ...headers,
      traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    })
    const written = injectInto(all, context)

    expect(refusals.length).toBeLessThanOrEqual(2 * all.fields.length)
    expect(written.refusals.length).toBeLessThanOrEqual(all.fields.length)
    expect((written.headers['tracestate'] ?? '').length).toBeLessThanOrEqual(512)
    expect((written.headers['baggage'] ?? '').length).toBeLessThanOrEqual(8192)
    expect(Object.values(written.headers).join('').length).toBeLessThan(10_000)
    expect(Object.values(written.headers).filter((line) => !/^[\t\x20-\x7e]*$/.test(line))).toEqual([])
  })

  it.each(shapes)('is looked at in at most 64 members of at most 8192 bytes: %s of %s', (_size, _shape, text) => {
    const visited: number[] = []

    visitMembers(text, (start, end) => visited.push(end - start))

    expect(visited.length).toBeLessThanOrEqual(64)
    expect(visited.reduce((sum, length) => sum + length, 0)).toBeLessThanOrEqual(8192)
  })

  it('is looked at in at most 32 members of a tracestate', () => {
    for (const [, , text] of shapes) expect(Tracestate.parse(text).size).toBeLessThanOrEqual(32)
  })
})

describe('a line end in a carrier that does not forbid it', () => {
  const evil = 'a\r\nx-admin: true'

  it.each(all.fields)('never goes out again: %s', (field) => {
    const { context } = extractFrom(all, { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, [field]: evil })

    const { headers } = injectInto(all, context)

    expect(Object.values(headers).filter((text) => /[\r\n]/.test(text))).toEqual([])
  })

  it('never goes out from a variable', () => {
    const context = LogicalContext.empty.with(tenant, evil)

    expect(injectInto(all, context).headers).toEqual({ baggage: 'tenant=a%0D%0Ax-admin:%20true' })
    expect(String(Baggage.empty.set('a', evil))).toBe('a=a%0D%0Ax-admin:%20true')
  })

  it('never goes into a reason, nor does any other text of a peer', () => {
    const { refusals } = extractFrom(
      all,
      Object.fromEntries(all.fields.map((field) => [field, `secret-of-a-peer ${evil}`])),
    )

    expect(refusals.length).toBeGreaterThan(3)
    expect(refusals.join(' ')).not.toMatch(/secret|\r|\n/)
  })
})

describe('keys that JavaScript has a use for', () => {
  it('are keys like others', () => {
    const { context } = extractFrom(all, { baggage: '__proto__=1,constructor=2,prototype=3,tenant=acme,0=4' })

    expect(injectInto(all, context).headers['baggage']).toBe('tenant=acme,__proto__=1,constructor=2,prototype=3,0=4')
    expect(({} as Record<string, unknown>)['1']).toBe(undefined)
    expect(Object.keys(Object.prototype)).toEqual([])
  })
})
