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

  it('resolves after its time, not before', async () => {
    let awake = false
    const slept = sleep(100).then(() => (awake = true))

    await vi.advanceTimersByTimeAsync(99)
    const before = awake
    await vi.advanceTimersByTimeAsync(1)
    await slept

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
    ['no time', () => sleep(undefined as never)],
    ['a time that never ends', () => sleep(Infinity)],
    ['no signal', () => sleep(1, { signal: new AbortController() as never })],
  ])('rejects with a TypeError for %s', async (_name, call) => {
    await expect(call()).rejects.toThrow(TypeError)
  })
})
