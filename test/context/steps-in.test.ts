import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { stepsIn } from '../../src/context/steps-in.ts'

describe('stepsIn', () => {
  it.each<[name: string, result: unknown]>([
    ['a value instead of a promise', { done: true, value: undefined }],
    ['a promise of nothing', Promise.resolve()],
  ])('ends no process for an iterator that returns %s', async (_, result) => {
    const unhandled: unknown[] = []
    const onUnhandled = (error: unknown) => unhandled.push(error)
    process.on('unhandledRejection', onUnhandled)
    const source = { [Symbol.asyncIterator]: () => ({ next: () => result }) } as unknown as AsyncIterable<string>

    const iterator = stepsIn((step) => step(), source)[Symbol.asyncIterator]()
    const returned: unknown = iterator.next()
    await turn()
    process.off('unhandledRejection', onUnhandled)

    expect(returned).toBe(result)
    expect(unhandled).toEqual([])
  })

  it('reports the end of a stream whose reader stops early', async () => {
    const ends: unknown[][] = []
    const source = (async function* () {
      yield* ['a', 'b']
    })()

    for await (const _ of stepsIn(
      (step) => step(),
      source,
      (...failure) => void ends.push(failure),
    ))
      break

    expect(ends).toEqual([[]])
  })

  it('reports the end of a stream that is written by hand, without `return` and `throw`', async () => {
    const ends: unknown[][] = []
    const failure = new Error('of the reader')
    const source = { [Symbol.asyncIterator]: () => ({ next: async () => ({ value: 'a' }) }) }
    const read = () =>
      stepsIn(
        (step) => step(),
        source,
        (...reason) => void ends.push(reason),
      )[Symbol.asyncIterator]()

    const returned = await read().return?.('left')
    const thrown = read().throw?.(failure)

    expect(returned).toEqual({ done: true, value: 'left' })
    await expect(thrown).rejects.toBe(failure)
    expect(ends).toEqual([[], [failure]])
  })
})
