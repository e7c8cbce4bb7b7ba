import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { runScript } from '../flow/run-script.ts'
import { after, maxTimerMs } from '../../src/tasks/timer.ts'

interface FakeTimer {
  readonly ms: number
  readonly fire: () => void
  isRef: boolean
  isCleared: boolean
  unref(): FakeTimer
}

let timers: FakeTimer[]

beforeEach(() => {
  timers = []
  vi.stubGlobal('setTimeout', (fire: () => void, ms: number) => {
    const timer: FakeTimer = { ms, fire, isRef: true, isCleared: false, unref: () => ((timer.isRef = false), timer) }
    timers.push(timer)
    return timer
  })
  vi.stubGlobal('clearTimeout', (timer: FakeTimer) => {
    timer.isCleared = true
  })
})
afterEach(() => void vi.unstubAllGlobals())

describe('after', () => {
  it.each([true, false])('sets a longer time than Node can in parts, each with ref: %s', (ref) => {
    const fn = vi.fn()

    after(2 * maxTimerMs + 5, fn, { ref })
    for (const part of [0, 1]) timers[part]?.fire()
    expect(fn).not.toHaveBeenCalled()
    timers[2]?.fire()

    expect(fn).toHaveBeenCalledOnce()
    expect(timers.map(({ ms, isRef }) => [ms, isRef])).toEqual([
      [maxTimerMs, ref],
      [maxTimerMs, ref],
      [5, ref],
    ])
  })

  it('keeps the process alive without options', () => {
    after(1, () => {})

    expect(timers[0]?.isRef).toBe(true)
  })

  it('clears the present part', () => {
    const stop = after(maxTimerMs + 5, () => {})
    timers[0]?.fire()

    stop()

    expect(timers.map(({ isCleared }) => isCleared)).toEqual([false, true])
  })
})

describe('a process with nothing else to do exits', () => {
  it.each<[name: string, script: string]>([
    [
      'while an onError has not settled',
      `import { runInScope, spawn } from 'logical-context'
       const fail = () => { throw new Error('no') }
       runInScope(() => void spawn(fail, { onError: () => new Promise(() => {}) }))`,
    ],
    [
      'while a unit has a deadline',
      `import { runInScope } from 'logical-context'
       runInScope(({ signal }) => new Promise(() => {}), { deadline: Date.now() + 60_000 })`,
    ],
    [
      'while a hook of a closed response has not called back',
      `import Fastify from 'fastify'
       import logicalContext from 'logical-context/middleware/fastify'
       const app = Fastify()
       await app.register(logicalContext, { settleTimeoutMs: 60_000 })
       app.addHook('onResponse', (_request, _reply, _done) => {})
       app.get('/', async () => 'ok')
       await app.listen({ port: 0, host: '127.0.0.1' })
       await (await fetch('http://127.0.0.1:' + app.server.address().port)).text()
       await new Promise(setImmediate)
       app.server.close()
       app.server.closeAllConnections()`,
    ],
  ])('%s', { timeout: 30_000 }, async (_, script) => {
    vi.unstubAllGlobals()
    const startedAt = performance.now()

    const { code, stderr } = await runScript(script)

    // 13: the top-level await of a script that cannot settle any more.
    expect([code, stderr]).toEqual([0, ''])
    // `settleTimeoutMs`, the deadline and the limit of an onError are longer.
    expect(performance.now() - startedAt).toBeLessThan(9_000)
  })
})
