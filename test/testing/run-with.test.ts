import { ContextVar, LogicalContext, spawn } from 'logical-context'
import { runWith } from 'logical-context/testing'
import { describe, expect, it } from 'vitest'

const user = new ContextVar<string>('user')
const values = LogicalContext.empty.with(user, 'ann')

function throwNo(): never {
  throw new Error('no')
}

describe('runWith', () => {
  it('runs a function with the given values, and returns its result', async () => {
    expect(await runWith(values, () => `hello ${user.get()}`)).toBe('hello ann')
  })

  it('passes the scope to the function', async () => {
    expect(await runWith(values, async ({ context }) => context.get(user))).toBe('ann')
  })

  it('waits for the tasks of the function and for those that they spawn', async () => {
    const events: string[] = []
    const index = async () => {
      await new Promise((resolve) => setImmediate(resolve))
      events.push(`index for ${user.get()}`)
    }
    const receipt = async () => {
      await new Promise((resolve) => setImmediate(resolve))
      events.push(`receipt for ${user.get()}`)
      spawn(index)
    }

    await runWith(values, () => void spawn(receipt))

    expect(events).toEqual(['receipt for ann', 'index for ann'])
  })

  it('rejects with the failures of tasks', async () => {
    const failure = new Error('no mail server')

    const error: unknown = await runWith(values, () => void spawn(() => Promise.reject(failure))).catch(
      (caught: unknown) => caught,
    )

    expect(error).toBeInstanceOf(AggregateError)
    expect((error as AggregateError).errors).toEqual([failure])
    expect((error as AggregateError).message).toBe('runWith: no mail server')
  })

  it.each<[name: string, thrown: unknown]>([
    ['an object without a prototype', Object.create(null)],
    ['a symbol', Symbol('no')],
    ['an error whose message throws', Object.defineProperty(new Error('no'), 'message', { get: throwNo })],
    ['a proxy that throws', new Proxy({}, { getPrototypeOf: throwNo, get: throwNo })],
  ])('rejects with the failures of tasks that throw %s', async (_, thrown) => {
    const throwIt = () => {
      throw thrown
    }

    const error: unknown = await runWith(values, () => void spawn(throwIt)).catch((caught: unknown) => caught)

    expect(error).toBeInstanceOf(AggregateError)
    expect((error as AggregateError).errors[0] === thrown).toBe(true)
  })

  it('rejects with the failure of the function, after its tasks have ended', async () => {
    const events: string[] = []
    const task = async () => {
      await new Promise((resolve) => setImmediate(resolve))
      events.push('task')
      throw new Error('of the task')
    }
    const fails = () => {
      spawn(task)
      throw new Error('of the function')
    }

    await expect(runWith(values, fails)).rejects.toThrow('of the function')

    expect(events).toEqual(['task'])
  })

  it('rejects if a task does not end in time, and names it', async () => {
    const stuck = () => new Promise(() => {})

    await expect(runWith(values, () => void spawn(stuck), { timeoutMs: 5 })).rejects.toThrow(
      "'the task stuck' did not end within 5 ms",
    )
  })

  it('rejects if a variable is read after the end of the unit', async () => {
    const gate = Promise.withResolvers<void>()
    const forgotten = async () => {
      await gate.promise
      user.get()
    }
    const test = () => {
      void forgotten()
      // Ends after the unit's function, and after the read.
      spawn(async () => {
        await new Promise((resolve) => setImmediate(resolve))
        gate.resolve()
        await new Promise((resolve) => setImmediate(resolve))
      })
    }

    await expect(runWith(values, test)).rejects.toThrow(/late read of 'user' after the end of its unit 'test'/)
  })

  it.each<[name: string, args: unknown[], message: string]>([
    ['values that are not a context', [{ user: 'ann' }, () => {}], 'runWith: expected a LogicalContext'],
    ['an argument that is not a function', [values, 'fn'], 'runWith: expected a function'],
    ['an unknown option', [values, () => {}, { timeout: 5 }], "runWith: unknown option 'timeout'"],
  ])('rejects %s', async (_, args, message) => {
    await expect(Reflect.apply(runWith, undefined, args)).rejects.toThrow(message)
  })
})
