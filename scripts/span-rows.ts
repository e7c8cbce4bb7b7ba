import type { ReceivedSpan } from './otlp-receiver.ts'

/** A span as a row of a waterfall. */
export interface SpanRow {
  readonly span: ReceivedSpan
  /** Set for the span of a task. */
  readonly policy: string | undefined
  readonly parent: SpanRow | undefined
  /** The span in another trace that this one is linked to. */
  readonly link: SpanRow | undefined
  readonly depth: number
}

/** The spans of one request of the demo: its own trace first, then the linked traces. */
export function spanRows(all: readonly ReceivedSpan[], requestId: string): SpanRow[] {
  const spans = all
    .filter(({ attributes }) => attributes['logical_context.request_id'] === requestId)
    // Consecutive tasks can start within the precision of the clock.
    .toSorted((a, b) => Math.round(a.startMs) - Math.round(b.startMs) || taskId(a) - taskId(b))
  const rows: SpanRow[] = []
  const add = (span: ReceivedSpan, parent: SpanRow | undefined): void => {
    const policy = span.attributes['logical_context.task.policy']
    const row: SpanRow = {
      span,
      policy: policy === undefined ? undefined : String(policy),
      parent,
      link: rows.find((known) => known.span.spanId === span.links[0]?.spanId),
      depth: parent === undefined ? 0 : parent.depth + 1,
    }
    rows.push(row)
    for (const child of spans) if (child.parentSpanId === span.spanId) add(child, row)
  }
  const isChild = ({ parentSpanId }: ReceivedSpan) => spans.some(({ spanId }) => spanId === parentSpanId)
  for (const root of spans) if (!isChild(root)) add(root, undefined)
  return rows
}

function taskId({ attributes }: ReceivedSpan): number {
  return Number(attributes['logical_context.task.id'] ?? 0)
}

/** Describes the part of a row that is the same in every run. A test compares it with the picture in the guide. */
export function describeRow({ span, policy, parent, link }: SpanRow): string {
  const nameOf = (row: SpanRow) => `${row.span.service} ${row.span.name}`
  return [
    `${span.service} ${span.name}`,
    policy && `by ${policy}`,
    parent && `below ${nameOf(parent)}`,
    link && `linked to ${nameOf(link)}`,
  ]
    .filter(Boolean)
    .join(', ')
}
