import { inspect } from 'node:util'
import { ContextVar, currentSignal, isolateGenerator, runInScope, shield, spawn, withTimeout } from 'logical-context'
import { describe, expect, it } from 'vitest'
import type { Cell } from '../../src/context/cell.ts'
import { storage } from '../../src/context/storage.ts'
import { attach, attachedTo } from '../../src/tasks/narrowed-cell.ts'

const user = new ContextVar<string>('user')

describe('code inside a scope', () => {
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

  it('does not let a generator be its own driver', () => {
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

  it('shows its cell as any other: the values to nobody', async () => {
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

describe('what a bridge attaches', () => {
  const attached = { span: 1 }
  const inside = <R>(fn: () => R) => storage.run(attach(storage.getStore() as Cell, attached), fn)
  const look = () => attachedTo(storage.getStore())

  it('is carried along in the code that follows, through scopes too, and nowhere else', async () => {
    const seen = await runInScope(async () => [
      look(),
      ...(await inside(async () => [look(), await withTimeout(look, 60_000), look(), user.run('ada', look)])),
      look(),
    ])

    expect(seen).toEqual([undefined, attached, attached, attached, undefined, undefined])
    expect(look()).toBeUndefined()
  })

  it('leaves values, unit and signal as they are', async () => {
    const seen = await runInScope(async (scope) => {
      user.set('ada')
      const insideScope = await withTimeout(
        ({ signal }) =>
          inside(() => {
            const before = user.get()
            user.set('grace')
            return [before, currentSignal() === signal]
          }),
        60_000,
      )
      return [...insideScope, user.get(), inside(currentSignal) === scope.signal]
    })

    expect(seen).toEqual(['ada', true, 'grace', true])
  })

  it('leaves a generator the signal of whoever drives it', async () => {
    const seen = await runInScope(() => {
      const steps = isolateGenerator(function* () {
        while (true) yield inside(currentSignal)
      })()
      return withTimeout(({ signal }) => steps.next().value === signal, 60_000)
    })

    expect(seen).toBe(true)
  })
})
