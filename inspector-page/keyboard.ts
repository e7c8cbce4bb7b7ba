import type { State, Update } from './state.ts'
import type { Node } from './traces.ts'

/** A row of the table. */
export interface TableRow {
  readonly node: Node
  /** Counts up from 1. */
  readonly level: number
  /** Whether its children are shown. */
  readonly isOpen: boolean
}

/** The keys of a tree grid. https://www.w3.org/WAI/ARIA/apg/patterns/treegrid/ */
export function moveIn(event: KeyboardEvent, rows: readonly TableRow[], state: State, update: Update): void {
  if (event.ctrlKey || event.altKey || event.metaKey) return
  const index = rows.findIndex(({ node }) => node.row.id === (event.target as HTMLElement).id)
  const current = rows[index]
  if (current === undefined) return
  const { node, level, isOpen } = current
  const { id } = node.row
  const go = (to: number) => {
    const target = rows[Math.min(Math.max(to, 0), rows.length - 1)]
    document.getElementById(target?.node.row.id ?? '')?.focus()
  }
  const collapse = (isCollapsed: boolean) => {
    const collapsed = new Set(state.collapsed)
    if (isCollapsed) collapsed.add(id)
    else collapsed.delete(id)
    update({ collapsed })
  }
  const hasChildren = node.children.length > 0
  const keys: Record<string, () => void> = {
    ArrowDown: () => go(index + 1),
    ArrowUp: () => go(index - 1),
    Home: () => go(0),
    End: () => go(rows.length - 1),
    ArrowRight: () => (hasChildren && !isOpen ? collapse(false) : hasChildren && go(index + 1)),
    ArrowLeft: () =>
      hasChildren && isOpen ? collapse(true) : go(rows.findLastIndex((row, at) => at < index && row.level < level)),
    Enter: () => update({ selected: id }),
    ' ': () => update({ selected: id }),
    Escape: () => update({ selected: undefined }),
  }
  const action = keys[event.key]
  if (action === undefined) return
  event.preventDefault()
  action()
}
