type Texts = 'name' | 'msg' | 'reqId' | 'order' | 'policy' | 'task_name' | 'tenant' | 'user' | 'why'
type Ids = 'request_id' | 'trace_id' | 'span_id' | 'caused_by'
type Numbers = 'pid' | 'finished' | 'unfinished' | 'elapsedMs' | 'spans' | 'unsent'

/** A line of a service's log, as far as the demo reads it. */
export interface LogLine extends Partial<Record<Texts | Ids, string> & Record<Numbers, number>> {
  time: number
  req?: { method: string; url: string }
}

/** A request or a task in one service, by its first and its last line. */
export type Unit = { first: LogLine; last: LogLine; parent?: Unit | undefined; children: Unit[] }

/** The units of all services, by their span ids. */
export function unitsOf(lines: readonly LogLine[]): Map<string, Unit> {
  const units = new Map<string, Unit>()
  for (const line of lines) {
    const unit = units.get(line.span_id ?? '')
    if (unit !== undefined) unit.last = line
    else if (line.span_id !== undefined) units.set(line.span_id, { first: line, last: line, children: [] })
  }
  for (const unit of units.values()) {
    unit.parent = units.get(unit.first.caused_by ?? '')
    unit.parent?.children.push(unit)
  }
  return units
}

/** The request that a line is about, by what is bound to its logger or was handed on as an argument: not by context. */
export function subjectOf({ order, reqId, request_id }: LogLine): string {
  return order ?? reqId ?? request_id ?? ''
}

/** Whether a line says what was sent, and nothing that a policy should have kept out. */
export function isRight(line: LogLine, unit?: Unit, sent?: { id: string; tenant: string; user: string }): boolean {
  // The edge's first line is from before it has looked who calls.
  const known = line.name === 'gateway' && line.msg === 'incoming request' ? undefined : sent
  const user = maySeeUser(unit) ? known?.user : undefined
  return line.request_id === sent?.id && line.tenant === known?.tenant && line.user === user
}

function maySeeUser(unit: Unit | undefined): boolean {
  return unit === undefined || ((unit.first.policy ?? 'inherit') === 'inherit' && maySeeUser(unit.parent))
}
