/** A function of the program that does what its option does not expect. */
export interface Misbehaviour {
  readonly name: string
  /** Whether it fails: such a failure must be reported, once. */
  readonly fails: boolean
  /** Makes the function. `reenter` uses the package again, as far as the option allows. */
  make(reenter: () => void): () => unknown
}

const failure = () => new Error('planted')

export const misbehaviours: readonly Misbehaviour[] = [
  {
    name: 'throws an Error',
    fails: true,
    make: () => () => {
      throw failure()
    },
  },
  {
    name: 'throws null',
    fails: true,
    make: () => () => {
      throw null
    },
  },
  {
    name: 'throws an object without a prototype',
    fails: true,
    make: () => () => {
      throw Object.create(null)
    },
  },
  { name: 'returns a rejected promise', fails: true, make: () => () => Promise.reject(failure()) },
  {
    name: 'rejects after a while',
    fails: true,
    make: () => () =>
      new Promise((_, reject) => {
        setImmediate(() => reject(failure()))
      }),
  },
  {
    name: 'is an async function that rejects',
    fails: true,
    make: () => async () => {
      await Promise.resolve()
      throw failure()
    },
  },
  { name: 'returns a promise that never settles', fails: false, make: () => () => new Promise(() => {}) },
  {
    name: 'returns a thenable that throws',
    // No code calls its `then`, which could start work.
    fails: false,
    make: () => () => ({
      then() {
        throw failure()
      },
    }),
  },
  {
    name: 'returns an object whose then throws at the read',
    fails: false,
    make: () => () => ({
      get then() {
        throw failure()
      },
    }),
  },
  { name: 'returns null', fails: false, make: () => () => null },
  { name: 'returns undefined', fails: false, make: () => () => undefined },
  { name: 'returns a symbol', fails: false, make: () => () => Symbol('wrong') },
  { name: 'returns a number', fails: false, make: () => () => 42 },
  {
    name: 'uses the package again',
    fails: false,
    make: (reenter) => () => {
      reenter()
    },
  },
]
