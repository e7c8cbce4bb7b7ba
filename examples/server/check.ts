import type { LogLine, Unit } from './units.ts'

/** The request that a line is about, by what was bound to its logger or handed on as an argument: not by context. */
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
