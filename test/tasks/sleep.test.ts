import { getEventListeners } from 'node:events'
import { ContextVar, runInScope, sleep } from 'logical-context'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const user = new ContextVar<string>('user')
const enough = new Error('enough')

describe('sleep', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it.each([
    ['short', 100],
    ['the longest of a timer of Node', 2 ** 31 - 1],
    ['longer than that', 2 ** 31 + 100],
  ])('resolves after its time, not before: %s', async (_, ms) => {
    let awake = false
    void sleep(ms).then(() => (awake = true))

    await vi.advanceTimersByTimeAsync(ms - 1)
    const before = awake
    await vi.advanceTimersByTimeAsync(1)

    expect([before, awake]).toEqual([false, true])
  })

  it('keeps the context of whoever sleeps', async () => {
    const slept = ['ada', 'bob'].map((name) =>
      runInScope(async () => {
        user.set(name)
        await sleep(100)
        return user.get()
      }),
    )
    await vi.advanceTimersByTimeAsync(100)

    expect(await Promise.all(slept)).toEqual(['ada', 'bob'])
  })

  it('rejects with the reason of its signal, and leaves neither timer nor listener behind', async () => {
    const controller = new AbortController()
    const slept = sleep(100, { signal: controller.signal }).catch((error: unknown) => error)

    await vi.advanceTimersByTimeAsync(50)
    controller.abort(enough)

    expect(await slept).toBe(enough)
    expect([vi.getTimerCount(), getEventListeners(controller.signal, 'abort').length]).toEqual([0, 0])
  })

  it('rejects at once where its signal had aborted before', async () => {
    await expect(sleep(100, { signal: AbortSignal.abort(enough) })).rejects.toBe(enough)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('leaves no listener behind on a signal that does not abort', async () => {
    const { signal } = new AbortController()
    const slept = sleep(100, { signal })
    await vi.advanceTimersByTimeAsync(100)
    await slept

    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  it('takes a signal of undefined for none, as currentSignal() gives it outside any unit', async () => {
    const slept = sleep(1, { signal: undefined })
    await vi.advanceTimersByTimeAsync(1)

    await expect(slept).resolves.toBeUndefined()
  })

  it.each([
    ['no time', () => sleep(undefined as never), 'expected a number of at least 0, got undefined.'],
    ['a time that never ends', () => sleep(Infinity), 'expected a number of at least 0, got Infinity.'],
    [
      'no signal',
      () => sleep(1, { signal: new AbortController() as never }),
      "option 'signal' expected an AbortSignal, got AbortController",
    ],
    ['an unknown option', () => sleep(1, { ref: false } as never), "unknown option 'ref', expected one of: signal."],
  ])('rejects with a TypeError for %s', async (_name, call, message) => {
    await expect(call()).rejects.toThrow(TypeError)
    await expect(call()).rejects.toThrow(`sleep: ${message}`)
  })
})
