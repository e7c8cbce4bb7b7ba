import type { Sent } from './requests.ts'
import type { Unit } from './unit.ts'

/** A line of a service, as far as the demo reads it. */
export interface LogLine {
  time: number
  service: string
  pid: number
  msg: string
  /** Fastify's own id of the request, bound to the request's logger: it does not come from the context. */
  reqId?: string
  /** The order in question, handed from function to function: nor does this. */
  order?: string
  policy?: string
  req?: { method: string; url: string }
  /** From here on by logical-context. */
  request_id?: string
  trace_id?: string
  span_id?: string
  parent_span_id?: string
  link_span_id?: string
  task_name?: string
  tenant?: string
  user?: string
  finished?: number
  unfinished?: number
  elapsedMs?: number
}

/** The id of the request that a line is about, whatever its context says; undefined for a line of the service itself. */
export function subjectOf(line: LogLine): string | undefined {
  return line.order ?? line.reqId ?? line.request_id
}

/** The fields of a line that are not what was sent, or that the policy of its unit should have kept out. */
export function wrongFields(line: LogLine, unit: Unit | undefined, sent: Sent | undefined): string[] {
  // The edge logs its first line before it has looked who calls.
  const early = line.service === 'gateway' && line.msg === 'incoming request'
  const expected: Partial<LogLine> = {
    request_id: sent?.id,
    tenant: early ? undefined : sent?.tenant,
    user: early || !unit?.mayKnowUser ? undefined : sent?.user,
  }
  return Object.entries(expected).flatMap(([key, value]) => (line[key as keyof LogLine] === value ? [] : [key]))
}
