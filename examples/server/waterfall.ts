import { styleText } from 'node:util'
import type { Unit } from './units.ts'

const barWidth = 25
export const heading = columns(['unit', 'service', 'policy', ' trace', 'tenant', 'user', 'ms'])

/** A unit and all that it has caused, a row each, with bars on one axis of time; 100 columns wide. */
export function waterfall(root: Unit): string[] {
  const rows = Array.from(rowsOf(root))
  const scale = barWidth / Math.max(1, ...rows.map(([, { last }]) => last.time - root.first.time))
  return rows.map(([branch, { first, last, parent }]) => {
    const name = first.task_name ?? `${first.req?.method} ${first.req?.url}`
    const link = parent !== undefined && parent.first.trace_id !== first.trace_id ? '↗' : ' '
    const trace = link + String(first.trace_id).slice(0, 8)
    const duration = String(last.time - first.time)
    const cells = [branch + name, first.name, first.policy, trace, last.tenant, last.user, duration]
    const start = Math.min(Math.floor((first.time - root.first.time) * scale), barWidth - 1)
    const length = Math.max(1, Math.round((last.time - first.time) * scale))
    const bar = ' '.repeat(start) + '━'.repeat(Math.min(length, barWidth - start))
    return `${columns(cells)} ${styleText(first.policy === undefined ? 'cyan' : 'green', bar)}`
  })
}

function columns(cells: readonly (string | undefined)[]): string {
  const widths = [24, 9, 11, 9, 7, 4, 4]
  return cells.map((cell = '·', i) => cell.padEnd(widths[i] ?? 0)).join(' ')
}

/** Each row, with the branch on which it hangs. */
function* rowsOf(unit: Unit, branch = '', below = ''): Generator<[branch: string, unit: Unit]> {
  yield [branch, unit]
  for (const child of unit.children) {
    const isLast = child === unit.children.at(-1)
    yield* rowsOf(child, below + (isLast ? '└ ' : '├ '), below + (isLast ? '  ' : '│ '))
  }
}
