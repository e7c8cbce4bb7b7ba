/**
 * The same stream, each of whose steps is called by `enter`: the body of a generator runs in the context of the code that
 * requests its next item. `ended` is called after the last step, with the failure if there is one.
 */
export function stepsIn<T>(
  enter: <R>(step: () => R) => R,
  source: AsyncIterable<T>,
  ended: (...failure: [error?: unknown]) => void = () => {},
): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = enter(() => source[Symbol.asyncIterator]())
      const step =
        (name: 'next' | 'return' | 'throw', missing?: (arg: unknown) => Promise<IteratorResult<T>>) =>
        (...args: unknown[]) => {
          const method = iterator[name] as ((...args: unknown[]) => Promise<IteratorResult<T>>) | undefined
          const result = enter(() => (method ?? missing)?.apply(iterator, args as [unknown]))
          // An iterator written by hand can return any value here. Its reader reports that.
          Promise.resolve(result).then(
            (item?: { done?: unknown }) => (item?.done === true ? ended() : undefined),
            ended,
          )
          return result
        }
      // An iterator written by hand can lack these two. The code that reads it leaves it without a call then.
      const left = step('return', async (value) => ({ done: true, value }))
      const failed = step('throw', (error) => Promise.reject(error))
      return { next: step('next'), return: left, throw: failed } as AsyncIterator<T>
    },
  }
}
