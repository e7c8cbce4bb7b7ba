import type { Row } from '../src/inspector/row.ts'
import { type Node, nodesOf } from './traces.ts'

/** What the page shows. An empty text filters nothing. */
export interface Filters {
  readonly service: string
  readonly name: string
  readonly policy: string
  readonly outcome: string
  readonly text: string
  readonly problems: boolean
}

export const noFilters: Filters = { service: '', name: '', policy: '', outcome: '', text: '', problems: false }

/** A unit that runs for longer may hang. */
const longMs = 10_000

/** In one word: how a row ended, or that it has not. */
export function outcomeOf({ outcome, state }: Row): string {
  return state === 'ended' ? (outcome ?? 'done') : state
}

/** Why a row needs attention; undefined if it does not. */
export function problemOf(row: Row, now: number): string | undefined {
  const outcome = outcomeOf(row)
  if (outcome === 'waiting' && row.reason === undefined) return `waits for a slot in the group ${row.group}`
  if (['failed', 'refused', 'lost'].includes(row.outcome ?? '')) return row.reason ?? row.outcome
  if (row.notes !== undefined) return row.notes.join(', ')
  if (row.state !== 'ended' && now - row.openedAt > longMs) return `runs for more than ${longMs / 1000} s`
  return undefined
}

/** Whether one row of a trace fulfils all filters. */
export function isShown(trace: Node, filters: Filters, now: number): boolean {
  for (const node of nodesOf(trace)) {
    if (matches(node.row, filters, now)) return true
    if (filters.problems && node.via !== undefined && matches(node.via, filters, now)) return true
  }
  return false
}

function matches(row: Row, filters: Filters, now: number): boolean {
  const { service, name, policy, outcome, text, problems } = filters
  if (service !== '' && row.service !== service) return false
  if (name !== '' && !contains(row.name, name)) return false
  if (policy !== '' && row.policy?.split(' ', 1)[0] !== policy) return false
  if (outcome !== '' && outcomeOf(row) !== outcome) return false
  if (problems && problemOf(row, now) === undefined) return false
  return text === '' || textsOf(row).some((own) => contains(own ?? '', text))
}

function textsOf(row: Row): readonly (string | null | undefined)[] {
  const { service, name, policy, group, reason, requestId, traceId, spanId, status, notes = [], fields = {} } = row
  const values = Object.values(fields).flat()
  return [service, name, policy, group, reason, requestId, traceId, spanId, String(status ?? ''), ...notes, ...values]
}

function contains(text: string, part: string): boolean {
  return text.toLowerCase().includes(part.toLowerCase())
}
