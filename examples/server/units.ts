type Texts = 'order' | 'policy' | 'task_name' | 'request_id' | 'trace_id' | 'span_id' | 'caused_by' | 'tenant' | 'user'
type Numbers = 'finished' | 'unfinished' | 'elapsedMs'

/** A line of a service's log, as far as the demo reads it. */
export interface LogLine extends Partial<Record<Texts | 'reqId', string>>, Partial<Record<Numbers, number>> {
  time: number
  name: string
  pid: number
  msg: string
  req?: { method: string; url: string }
}

/** A request or a task in one service, by its first and its last line. */
export type Unit = { first: LogLine; last: LogLine; parent?: Unit | undefined; children: Unit[] }

/** The units of all services, by their span ids. */
export function unitsOf(lines: readonly LogLine[]): Map<string, Unit> {
  const units = new Map<string, Unit>()
  for (const line of lines) {
    const { span_id } = line
    const unit = units.get(span_id ?? '')
    if (unit !== undefined) unit.last = line
    else if (span_id !== undefined) units.set(span_id, { first: line, last: line, children: [] })
  }
  for (const unit of units.values()) {
    unit.parent = units.get(unit.first.caused_by ?? '')
    unit.parent?.children.push(unit)
  }
  return units
}
