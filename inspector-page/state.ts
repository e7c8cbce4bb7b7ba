import type { Row, ServiceStatus } from '../src/inspector/row.ts'
import { type Filters, noFilters } from './filters.ts'

/** Everything that the page shows. It is changed in one place, and then drawn again. */
export interface State {
  readonly rows: ReadonlyMap<string, Row>
  readonly statuses: readonly ServiceStatus[]
  readonly isConnected: boolean
  readonly isPaused: boolean
  readonly filters: Filters
  /** The rows whose children are hidden. */
  readonly collapsed: ReadonlySet<string>
  /** The row that Tab reaches. */
  readonly focused: string | undefined
  /** The row whose details are shown. */
  readonly selected: string | undefined
  /** How many traces are shown at most. */
  readonly limit: number
  readonly now: number
}

export const initial: State = {
  rows: new Map(),
  statuses: [],
  isConnected: false,
  isPaused: false,
  filters: noFilters,
  collapsed: new Set(),
  focused: undefined,
  selected: undefined,
  limit: 30,
  now: Date.now(),
}

export type Update = (change: Partial<State>) => void
