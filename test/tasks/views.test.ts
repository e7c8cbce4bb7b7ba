import { inspect } from 'node:util'
import { ContextVar, isolateGenerator, runInScope, shield, spawn, withTimeout } from 'logical-context'
import { describe, expect, it } from 'vitest'

const user = new ContextVar<string>('user')

describe('code in a cancel scope', () => {
  it('reads the caller’s values in a generator that it drives', async () => {
    const seen = await runInScope(() => {
      const steps = isolateGenerator(function* () {
        while (true) yield user.get()
      })()
      user.set('ada')
      return withTimeout(() => steps.next().value, 60_000)
    })

    expect(seen).toBe('ada')
  })

  it('refuses a generator as its own driver', () => {
    const seen = runInScope(() => {
      user.set('ada')
      const steps: Generator = isolateGenerator(function* () {
        let failure: unknown
        void shield(() => {
          try {
            steps.next()
          } catch (error) {
            failure = error
          }
        })
        yield [failure, user.get()]
      })()
      return steps.next().value as unknown
    })

    expect(seen).toEqual([new TypeError('Generator is already running'), 'ada'])
  })

  it('does not print values with its cell', async () => {
    const shown = await runInScope(() => {
      user.set('ada')
      return shield(() => {
        const { cell } = spawn(() => {}, { policy: 'share' })
        return [inspect(cell), JSON.stringify({ cell })]
      })
    })

    expect(shown).toEqual(['Cell', '{"cell":"Cell"}'])
  })
})
