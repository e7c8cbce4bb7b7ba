import type { FastifyInstance } from 'fastify'

/**
 * What a side is in its row: what could not be done for less, this library, another way to the same end, or a figure to
 * compare with that counts for no target.
 */
export type Role = 'floor' | 'ours' | 'peer' | 'reference'

/** What is measured, with its unit. */
export type Figure = 'ns' | 'requests/s' | 'p99 ms' | 'CPU µs' | 'bytes'

/** How far the library is to get. */
export interface Target {
  readonly words: string
  readonly figure: Figure
  /** The side ours is compared with, `floor`, or `peers` for each of them; of a curve, a size of ours. */
  readonly against: string
  /** Bounds of the ratio of our figure to the other one. */
  readonly atMost?: number
  readonly atLeast?: number
  /** A side whose figure is taken off both first: compares what two sides add to it. */
  readonly above?: string
  /** In place of the ratio: ours may be larger by so much. */
  readonly atMostMore?: number
  /** In place of the ratio: ours may be so large. */
  readonly atMostItself?: number
}

interface RowBase<SideOfKind extends { name: string; role: Role }> {
  readonly name: string
  readonly title: string
  /** What one operation is, and what is asserted of each side. */
  readonly about: string
  readonly sides: readonly SideOfKind[]
  readonly targets: readonly Target[]
}

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
  /** For how many an operation counts. Default: 1. */
  units?: number
}

export interface Side {
  readonly name: string
  readonly role: Role
  /** Called in the side's own process; imports what the side needs, so that no side loads another one's packages. */
  setup(): Work | Promise<Work>
}

export interface MicroRow extends RowBase<Side> {
  readonly kind: 'micro'
}

export interface GrowthSide extends Side {
  /** Whose curve this is a point of, and where on it. */
  readonly line: string
  readonly size: number
}

/** A row whose sides are points of curves. */
export interface GrowthRow extends RowBase<GrowthSide> {
  readonly kind: 'growth'
  /** What grows, for the axis of a chart. */
  readonly axis: string
}

export interface ServerSide {
  readonly name: string
  readonly role: Role
  /** Called in the side's own process: a server with the route `/`, which may call `backend`. */
  serve(backend: string): Promise<FastifyInstance>
}

export interface ServerRow extends RowBase<ServerSide> {
  readonly kind: 'fastify'
  /** Of each request. */
  readonly headers: Readonly<Record<string, string>>
}

export interface MemorySide {
  readonly name: string
  readonly role: Role
  /** Called in the side's own process. Returns what makes so many more of a thing, and keeps them. */
  prepare(): Promise<(count: number) => Promise<void>>
}

export interface MemoryRow extends RowBase<MemorySide> {
  readonly kind: 'memory'
  /** What is made. */
  readonly count: number
  readonly thing: string
}

export type Row = MicroRow | GrowthRow | ServerRow | MemoryRow

export const ours = 'logical-context'

/** The side that the others are compared with: the floor, or our side where the row has no floor. */
export function baseOf(row: Row): string {
  const sides: readonly { name: string; role: Role }[] = row.sides
  return (sides.find(({ role }) => role === 'floor') ?? sides.find(({ role }) => role === 'ours'))?.name ?? ''
}

export const ofFloor = (atMost: number): Target => ({
  words: `at most ${atMost} of the floor`,
  figure: 'ns',
  against: 'floor',
  atMost,
})

export const noPeerFaster: Target = { words: 'no peer faster', figure: 'ns', against: 'peers', atMost: 1 }
