import type { Row } from '../src/inspector/row.ts'

/** A row with what it caused, in any service. */
export interface Node {
  readonly row: Row
  /** The call or the enqueue that reached it. That row is not shown itself. */
  via?: Row
  isReached: boolean
  children: Node[]
}

/** Older rows are forgotten. */
const maxRows = 5000
/** Clocks of two services differ a little. */
const clockMs = 20

/** Removes the rows that ended first, until few enough are left. */
export function forgetOld(rows: Map<string, Row>): void {
  if (rows.size <= maxRows) return
  const ended = [...rows.values()].filter(({ endedAt }) => endedAt !== undefined)
  for (const { id } of ended.slice(0, rows.size - maxRows)) rows.delete(id)
}

/** The trees of all rows, the newest root first. */
export function tracesOf(rows: ReadonlyMap<string, Row>): Node[] {
  const nodes = new Map<string, Node>()
  const bySpan = new Map<string, Node>()
  for (const row of rows.values()) {
    const node = { row, isReached: false, children: [] }
    nodes.set(row.id, node)
    // A task that shares its spawner's values has the span of the spawner, too.
    if (row.spanId !== undefined && row.policy !== 'share') bySpan.set(row.spanId, node)
  }
  const roots: Node[] = []
  const all = [...nodes.values()]
  for (const node of all) if (node.row.parent !== undefined) (nodes.get(node.row.parent)?.children ?? roots).push(node)
  for (const node of all.toSorted((left, right) => left.row.openedAt - right.row.openedAt)) {
    const { parent, parentSpanId = '', linkSpanId = '' } = node.row
    if (parent !== undefined) continue
    const cause = bySpan.get(parentSpanId) ?? bySpan.get(linkSpanId)
    if (cause === undefined || isBelow(cause, node)) roots.push(node)
    else attach(node, cause)
  }
  for (const node of all) {
    node.children = node.children
      .filter(({ isReached }) => !isReached)
      .toSorted((left, right) => startOf(left) - startOf(right))
  }
  return roots.toSorted((left, right) => right.row.openedAt - left.row.openedAt)
}

/** When a row was caused. */
export function startOf({ row, via }: Node): number {
  return Math.min(row.openedAt, via?.openedAt ?? Infinity)
}

/** Each node of a tree, parents first. */
export function* nodesOf(node: Node): Generator<Node> {
  yield node
  for (const child of node.children) yield* nodesOf(child)
}

/** Puts a row of another service in the place of the call or the enqueue that caused it. */
function attach(node: Node, cause: Node): void {
  const { kind, name, openedAt } = node.row
  const source = cause.children.findLast(({ row, isReached }) => {
    if (row.openedAt > openedAt + clockMs) return false
    // A job has an attempt for each delivery; a call reaches one request.
    if (kind === 'job') return row.kind === 'enqueue' && name.startsWith(row.name)
    if (row.kind !== 'call' || isReached) return false
    // A call that was cancelled can end before the request is received.
    return row.outcome !== 'done' || (row.endedAt ?? 0) >= openedAt - clockMs
  })
  if (source !== undefined) {
    node.via = source.row
    source.isReached = true
  }
  cause.children.push(node)
}

/** Whether `cause` is in the tree of `node`: a broken trace must not become a circle. */
function isBelow(cause: Node, node: Node): boolean {
  return cause === node || node.children.some((child) => isBelow(cause, child))
}
