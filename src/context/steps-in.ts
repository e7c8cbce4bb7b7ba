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
      const step = (name: 'next' | 'return' | 'throw') => {
        const method = iterator[name] as ((...args: unknown[]) => Promise<IteratorResult<T>>) | undefined
        if (method === undefined) return undefined
        return (...args: unknown[]) => {
          const result = enter(() => method.apply(iterator, args))
          // An iterator written by hand can return any value here. Its reader reports that.
          Promise.resolve(result).then(
            (item?: { done?: unknown }) => (item?.done === true ? ended() : undefined),
            ended,
          )
          return result
        }
      }
      // The code that reads a stream checks whether it has the last two.
      return { next: step('next'), return: step('return'), throw: step('throw') } as AsyncIterator<T>
    },
  }
}
