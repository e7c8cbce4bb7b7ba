/**
 * What a side is in its row: what could not be done for less, this library, another way to the same end, or a figure to
 * compare with that counts for no target.
 */
export type Role = 'floor' | 'ours' | 'peer' | 'reference'

/** Something to do over and over. */
export interface Work {
  op(): unknown
  /** Throws unless `op` does what its row says. Nothing is timed before. */
  check(): unknown
  /** Runs the loop where the operation belongs, in a request for one. Default: where it is called. */
  within?<R>(loop: () => R): R
  /** Of an operation that only starts something: whether all that was started has ended. */
  settled?(): boolean
  /** Of an operation that gives a promise: it ends with it. Default: false. */
  awaited?: boolean
}

export interface Side {
  readonly name: string
  readonly role: Role
  /** Called in the side's own process; imports what the side needs, so that no side loads another one's packages. */
  setup(): Work | Promise<Work>
}

/** How far the library is to get: the ratio of its figure to that of another side, or of each peer. */
export interface Target {
  readonly words: string
  readonly against: string
  readonly atMost: number
}

export interface MicroRow {
  readonly kind: 'micro'
  readonly name: string
  readonly title: string
  /** What one operation is, and what is asserted of each side. */
  readonly about: string
  readonly sides: readonly Side[]
  readonly targets: readonly Target[]
}

export const ours = 'logical-context'

export const ofFloor = (atMost: number): Target => ({ words: `at most ${atMost} of the floor`, against: 'floor', atMost })

export const noPeerFaster: Target = { words: 'no peer faster', against: 'peers', atMost: 1 }
