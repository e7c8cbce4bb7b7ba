import type { FastifyInstance } from 'fastify'

/**
 * The role of a side in its row: the cheapest possible code, this library, another library or way, or a figure that counts
 * for no target.
 */
export type Role = 'floor' | 'ours' | 'peer' | 'reference'

/** A measured quantity, with its unit. */
export type Figure = 'ns' | 'requests/s' | 'p99 ms' | 'CPU µs' | 'bytes'

/** A goal of the library. */
export interface Target {
  readonly words: string
  readonly figure: Figure
  /** The side that ours is compared with, `floor`, or `peers` for each peer. For a curve: one of our sizes. */
  readonly against: string
  /** Bounds of the ratio of our figure to the other figure. */
  readonly atMost?: number
  readonly atLeast?: number
  /** A side whose figure is subtracted from both first. This compares what two sides add to it. */
  readonly above?: string
  /** Instead of a ratio: the maximum difference. */
  readonly atMostMore?: number
  /** Instead of a ratio: the maximum of our figure. */
  readonly atMostItself?: number
}

interface RowBase<SideOfKind extends { name: string; role: Role }> {
  readonly name: string
  readonly title: string
  /** The operation, and the assertions for each side. */
  readonly about: string
  readonly sides: readonly SideOfKind[]
  readonly targets: readonly Target[]
  /** Whether it is measured on the newest Node alone: a row that compares libraries more than versions of Node. */
  readonly newestNodeOnly?: true
}

/** An operation to repeat. */
export interface Work {
  op(): unknown
  /** Throws unless `op` does what its row says. Runs before the measurement. */
  check(): unknown
  /** Runs the loop in the context of the operation, for example in a request. Default: calls it directly. */
  within?<R>(loop: () => R): R
  /** For an operation that only starts work: whether all work ended. */
  settled?(): boolean
  /** Whether the operation ends when its promise settles. Default: false. */
  awaited?: boolean
  /** The number of units in an operation. Default: 1. */
  units?: number
  /** How many bytes the operation writes. Shown next to the time. */
  bytes?: number
  /** Whether the operation waits for another process: the CPU time of its own does not show disturbance. Default: false. */
  elsewhere?: boolean
  /** Frees what the setup started. */
  close?(): Promise<unknown>
}

export interface Side {
  readonly name: string
  readonly role: Role
  /** Runs in the side's own process. Imports what the side needs, so that no side loads the packages of another one. */
  setup(): Work | Promise<Work>
}

export interface MicroRow extends RowBase<Side> {
  readonly kind: 'micro'
  /**
   * For an operation whose cost is smaller than the noise of the machine: a figure is the fastest of this many short
   * batches.
   */
  readonly windows?: number
  /** What a figure counts, instead of the nanoseconds of one operation. */
  readonly rate?: 'jobs/s'
}

export interface GrowthSide extends Side {
  /** The curve of this point, and its place on the curve. */
  readonly line: string
  readonly size: number
}

/** A row whose sides are points of curves. */
export interface GrowthRow extends RowBase<GrowthSide> {
  readonly kind: 'growth'
  /** What grows: the label of the chart's axis. */
  readonly axis: string
}

export interface ServerSide {
  readonly name: string
  readonly role: Role
  /** Runs in the side's own process. Returns a server with the route `/`, which may call `backend`. */
  serve(backend: string): Promise<FastifyInstance>
}

export interface ServerRow extends RowBase<ServerSide> {
  readonly kind: 'fastify'
  /** Whether requests are sent at a fixed rate: half of what the floor reaches. Default: each after a reply. */
  readonly openLoop?: true
  /** The headers of each request. */
  readonly headers: Readonly<Record<string, string>>
}

export interface MemorySide {
  readonly name: string
  readonly role: Role
  /** Runs in the side's own process. Returns a function that makes more things and keeps them. */
  prepare(): Promise<(count: number) => Promise<void>>
}

export interface MemoryRow extends RowBase<MemorySide> {
  readonly kind: 'memory'
  /** How many of which thing are made. */
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
