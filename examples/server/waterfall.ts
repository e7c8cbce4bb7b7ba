import { styleText } from 'node:util'
import type { Unit } from './log-lines.ts'

const barWidth = 22
export const heading = columns(['unit', 'service', 'policy', ' trace', 'tenant', 'user'])

/** A row for a unit and for each unit that it caused, with bars on one axis of time. At most 100 columns wide. */
export function waterfall(root: Unit): string[] {
  const rows = Array.from(rowsOf(root))
  const duration = Math.max(1, ...rows.map(([, { last }]) => last.time - root.first.time))
  const place = ({ time }: { time: number }) => Math.round(((time - root.first.time) / duration) * barWidth)
  return rows.map(([branch, { first, last, parent }]) => {
    const job = first.job_queue && `${first.job_queue} #${first.job_attempt}`
    const name = job ?? first.task_name ?? `${first.req?.method} ${first.req?.url}`
    const trace = (parent && parent.first.trace_id !== first.trace_id ? '↗' : ' ') + first.trace_id?.slice(0, 8)
    const cells = columns([branch + name, first.name, first.policy, trace, last.tenant, last.user])
    const bar = '━'.repeat(Math.max(1, place(last) - place(first))).padStart(place(last))
    return `${cells} ${styleText(first.policy === undefined ? 'cyan' : 'green', bar)} ${last.time - first.time} ms`
  })
}

function columns(cells: readonly (string | undefined)[]): string {
  return cells.map((cell = '·', i) => cell.padEnd([24, 9, 11, 9, 7, 4][i] ?? 0)).join(' ')
}

/** Each row, with its branch of the tree. */
function* rowsOf(unit: Unit, branch = '', below = ''): Generator<[branch: string, unit: Unit]> {
  yield [branch, unit]
  for (const child of unit.children) {
    const isLast = child === unit.children.at(-1)
    yield* rowsOf(child, below + (isLast ? '└ ' : '├ '), below + (isLast ? '  ' : '│ '))
  }
}
