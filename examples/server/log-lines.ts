type Texts = 'name' | 'msg' | 'policy' | 'task_name' | 'job_queue' | 'tenant' | 'user' | 'why'
type Ids = 'order' | 'job' | 'reqId' | 'request_id' | 'trace_id' | 'span_id' | 'caused_by' | 'job_id'
type Numbers = 'time' | 'pid' | 'job_attempt' | 'finished' | 'unfinished' | 'elapsedMs' | 'spans' | 'unsent'
type Fields = Partial<Record<Texts | Ids, string> & Record<Numbers, number>>

/** The part of a log line that the demo reads. */
export type LogLine = Fields & { time: number; req?: { method: string; url: string } }

/** A request, a task or an attempt of a job in one process, with its first and last line. */
export type Unit = { first: LogLine; last: LogLine; parent?: Unit | undefined; children: Unit[] }

/** The units of all processes, by their span ids. */
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

/** The request of a line, by the logger's bindings or an argument of the call, not by the context. */
export const subjectOf = ({ order, reqId, request_id }: LogLine): string => order ?? reqId ?? request_id ?? ''

/** Whether a line has the values of its request, and no value that a policy should have removed. */
export function isRight(line: LogLine, unit?: Unit, sent?: { id: string; tenant: string; user: string }): boolean {
  // The gateway writes its first line before the caller is known.
  const known = line.name === 'gateway' && line.msg === 'incoming request' ? undefined : sent
  const user = maySeeUser(unit) ? known?.user : undefined
  return line.request_id === sent?.id && line.tenant === known?.tenant && line.user === user
}

const maySeeUser = (unit: Unit | undefined): boolean =>
  unit === undefined || ((unit.first.policy ?? 'inherit') === 'inherit' && maySeeUser(unit.parent))
