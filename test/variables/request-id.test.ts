import { current, runInScope, spawn } from 'logical-context'
import { newIdentity, requestId, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import { isRequestId } from '../../src/variables/request-id.ts'

describe('isRequestId', () => {
  it.each<[name: string, text: string]>([
    ['one character', 'a'],
    ['128 characters', 'x'.repeat(128)],
    ['a UUID', 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'],
    ['letters of either case', 'azAZ'],
    ['digits', '0123456789'],
    ['dots, dashes, underscores', '.-_'],
    ['__proto__', '__proto__'],
  ])('accepts %s', (_name, text) => {
    expect(isRequestId(text)).toBe(true)
  })

  it.each<[name: string, text: string]>([
    ['nothing', ''],
    ['129 characters', 'x'.repeat(129)],
    ['a megabyte', 'x'.repeat(1_000_000)],
    ['a blank', 'a b'],
    ['a blank after it', 'a '],
    ['a tab', 'a\tb'],
    ['a line feed', 'a\nb'],
    ['a line feed at the end', 'a\n'],
    ['a carriage return', 'a\rb'],
    ['NUL', 'a\0'],
    ['an escape for a terminal', '\u001b[31m'],
    ['DEL', 'a\x7f'],
    ['a comma', 'a,b'],
    ['a slash', 'a/b'],
    ['a colon', 'a:b'],
    ['a semicolon', 'a;b'],
    ['a plus', 'a+b'],
    ['an equals sign', 'ab=='],
    ['a percent sign', '%41'],
    ['a quote', '"a"'],
    ['a backtick', '`a`'],
    ['a brace', '${a}'],
    ['a character before A', '@'],
    ['a character after Z', '['],
    ['a character after z', '{'],
    ['a character of latin1', 'é'],
    ['a digit that is not ASCII', '٣'],
    ['a lone surrogate', '\ud800'],
  ])('rejects %s', (_name, text) => {
    expect(isRequestId(text)).toBe(false)
  })
})

describe('newIdentity', () => {
  it('returns a request id and a trace that tasks share, and new ones for each call', async () => {
    const ids = () => [requestId.get(), traceContext.get()?.traceId]
    const job = () =>
      runInScope(async () => [ids(), await spawn(ids, { policy: 'inherit' }).result()], { context: newIdentity() })

    const [first, second] = await Promise.all([job(), job()])

    expect(first[0]).toEqual(first[1])
    expect(first[0]).toEqual([expect.stringMatching(/^[\da-f-]{36}$/), expect.stringMatching(/^[\da-f]{32}$/)])
    expect(second[0]).not.toEqual(first[0])
    expect(current().has(requestId)).toBe(false)
  })

  it('returns usable request ids', () => {
    const ids = Array.from({ length: 100 }, () => newIdentity().get(requestId))

    expect(ids.every(isRequestId)).toBe(true)
  })
})
