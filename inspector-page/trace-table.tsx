import type { JSX } from 'preact'
import { outcomeOf, problemOf } from './filters.ts'
import { moveIn, type TableRow } from './keyboard.ts'
import type { State, Update } from './state.ts'
import { colorOf, duration } from './text.ts'
import { type Node, nodesOf, startOf } from './traces.ts'

interface TraceTableProps {
  readonly traces: readonly Node[]
  readonly state: State
  readonly update: Update
}

/** The waterfall of each trace, as one tree. */
export function TraceTable({ traces, state, update }: TraceTableProps): JSX.Element {
  const rows = traces.flatMap((trace) => rowsOf(trace, axisOf(trace, state.now), state.collapsed))
  const columns = columnsOf(rows)
  const first = rows.some(({ node }) => node.row.id === state.focused) ? state.focused : rows[0]?.node.row.id
  return (
    <table role="treegrid" aria-label="Traces" onKeyDown={(event) => moveIn(event, rows, state, update)}>
      <thead>
        <tr>
          <th scope="col">Request, task or call</th>
          <th scope="col">Policy</th>
          {columns.map((name) => (
            <th scope="col" key={name} class="field">
              {name}
            </th>
          ))}
          <th scope="col">Result</th>
          <th scope="col" class="time">
            Time
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <UnitRow
            key={row.node.row.id}
            {...row}
            columns={columns}
            isFirst={row.node.row.id === first}
            state={state}
            update={update}
          />
        ))}
      </tbody>
    </table>
  )
}

/** More fields are in the details only. */
const maxColumns = 4

/** The fields that have columns, in the order of their declaration. */
function columnsOf(rows: readonly TableRow[]): string[] {
  const names = rows.flatMap(({ node }) => Object.keys(node.row.fields ?? {}))
  return [...new Set(names)].slice(0, maxColumns)
}

/** The start of a trace and its length, in milliseconds. */
type Axis = readonly [start: number, length: number]

function axisOf(trace: Node, now: number): Axis {
  let [start, end] = [Infinity, 0]
  for (const node of nodesOf(trace)) {
    start = Math.min(start, startOf(node))
    end = Math.max(end, node.row.endedAt ?? now)
  }
  return [start, Math.max(1, end - start)]
}

type AxisRow = TableRow & { readonly axis: Axis }

function rowsOf(node: Node, axis: Axis, collapsed: ReadonlySet<string>, level = 1): AxisRow[] {
  const isOpen = !collapsed.has(node.row.id)
  const below = isOpen ? node.children.flatMap((child) => rowsOf(child, axis, collapsed, level + 1)) : []
  return [{ node, level, isOpen, axis }, ...below]
}

type UnitRowProps = AxisRow & {
  readonly columns: readonly string[]
  readonly isFirst: boolean
  readonly state: State
  readonly update: Update
}

function UnitRow({ node, level, isOpen, axis, columns, isFirst, state, update }: UnitRowProps): JSX.Element {
  const { row, via, children } = node
  const { id, service, kind, policy, status, fields = {} } = row
  const name = kind === 'call' ? row.name.replace('http://', '') : row.name
  const problem = problemOf(row, state.now) ?? (via && problemOf(via, state.now))
  const outcome = outcomeOf(row)
  const toggle = () => update({ collapsed: toggled(state.collapsed, id) })
  return (
    <tr
      id={id}
      role="row"
      tabIndex={isFirst ? 0 : -1}
      class={`${kind} level-${Math.min(level, 2)} ${problem === undefined ? '' : 'problem'}`}
      aria-level={level}
      aria-expanded={children.length > 0 ? isOpen : undefined}
      aria-selected={state.selected === id}
      onClick={() => update({ selected: id, focused: id })}
      onFocus={() => update({ focused: id })}
    >
      <td role="gridcell">
        <span class="name" style={{ paddingLeft: `${(level - 1) * 1.1}rem` }}>
          {children.length > 0 ? (
            <button
              type="button"
              class="toggle"
              tabIndex={-1}
              aria-label={isOpen ? 'Collapse' : 'Expand'}
              onClick={stop(toggle)}
            >
              {isOpen ? '▾' : '▸'}
            </button>
          ) : (
            <span class="toggle" />
          )}
          {kind !== 'request' && <span class="kind">{kind}</span>} <b title={name}>{name}</b>{' '}
          {kind !== 'call' && <span class={`service ${colorOf(service)}`}>{service}</span>}
          {row.attempt !== undefined && <span class="soft"> #{row.attempt}</span>}
          {level === 1 && <span class="soft"> {row.requestId}</span>}
        </span>
      </td>
      <td role="gridcell">
        {policy !== undefined && <span class={`policy ${policy.split(' ', 1)[0]}`}>{policy}</span>}
      </td>
      {columns.map((column) => (
        <td role="gridcell" key={column} title={fields[column]?.[1] ?? ''}>
          {fields[column]?.[1] ?? <span class="soft">·</span>}
        </td>
      ))}
      <td role="gridcell" title={problem ?? row.reason}>
        <span class={`outcome ${outcome}`}>
          {problem === undefined ? '' : '⚠ '}
          {outcome}
        </span>{' '}
        {status}
      </td>
      <td role="gridcell">
        <Bar node={node} axis={axis} now={state.now} />
      </td>
    </tr>
  )
}

interface BarProps {
  readonly node: Node
  readonly axis: Axis
  readonly now: number
}

/** The time of a row; before it, the time in which it waited, and around it the call that reached it. */
function Bar({ node, axis: [start, length], now }: BarProps): JSX.Element {
  const { row, via } = node
  const end = row.endedAt ?? Math.max(now, row.openedAt)
  const begin = row.startedAt ?? (row.state === 'waiting' ? end : row.openedAt)
  const waited = via?.kind === 'enqueue' ? via.openedAt : row.openedAt
  const percent = (from: number, to: number) => ({
    left: `${((from - start) / length) * 100}%`,
    width: `${(Math.max(0, to - from) / length) * 100}%`,
  })
  return (
    <span class="track">
      <span class="lane">
        {via?.kind === 'call' && (
          <span class={`bar call ${colorOf(via.service)}`} style={percent(via.openedAt, via.endedAt ?? now)} />
        )}
        {begin > waited && <span class="bar waits" style={percent(waited, begin)} />}
        {row.state !== 'waiting' && (
          <span
            class={`bar ${colorOf(row.service)} ${row.kind} ${row.state} ${row.outcome ?? ''}`}
            style={percent(begin, end)}
          />
        )}
      </span>
      <span class="ms">{duration(end - row.openedAt)}</span>
    </span>
  )
}

/** A click that does not select the row. */
function stop(fn: () => void): (event: Event) => void {
  return (event) => {
    event.stopPropagation()
    fn()
  }
}

function toggled(ids: ReadonlySet<string>, id: string): ReadonlySet<string> {
  const next = new Set(ids)
  if (!next.delete(id)) next.add(id)
  return next
}
