import type { Row, ServiceStatus } from '../src/inspector/row.ts'
import { forgetOld } from './traces.ts'

export interface EventListeners {
  onRows(rows: ReadonlyMap<string, Row>): void
  onStatus(statuses: readonly ServiceStatus[]): void
  onConnection(isConnected: boolean): void
}

/** Reads the stream of events. The browser connects again by itself, and names the last event that it has. */
export function listen({ onRows, onStatus, onConnection }: EventListeners): void {
  const rows = new Map<string, Row>()
  const source = new EventSource('events')
  source.addEventListener('open', () => onConnection(true))
  source.addEventListener('error', () => {
    onConnection(false)
    // The browser does not try again after a refusal.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000)
  })
  source.addEventListener('message', ({ data }: MessageEvent<string>) => {
    const row = JSON.parse(data) as Row
    // In the order of their ends, for `forgetOld`.
    rows.delete(row.id)
    rows.set(row.id, row)
    forgetOld(rows)
    onRows(rows)
  })
  source.addEventListener('remove', ({ data }: MessageEvent<string>) => {
    rows.delete(data)
    onRows(rows)
  })
  source.addEventListener('reset', () => {
    rows.clear()
    onRows(rows)
  })
  source.addEventListener('status', ({ data }: MessageEvent<string>) => onStatus(JSON.parse(data) as ServiceStatus[]))
}
