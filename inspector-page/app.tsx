import type { JSX } from 'preact'
import { Details } from './details.tsx'
import { FilterBar } from './filter-bar.tsx'
import { isShown, problemOf } from './filters.ts'
import type { State, Update } from './state.ts'
import { Status } from './status.tsx'
import { TraceTable } from './trace-table.tsx'
import { nodesOf, tracesOf } from './traces.ts'

/** The whole page. */
export function App({ update, ...state }: State & { readonly update: Update }): JSX.Element {
  const { rows, filters, now, isConnected, selected, limit } = state
  const all = tracesOf(rows)
  const shown = all.filter((trace) => isShown(trace, filters, now))
  const problems = [...rows.values()].filter((row) => problemOf(row, now) !== undefined).length
  const node =
    selected === undefined
      ? undefined
      : all.flatMap((trace) => [...nodesOf(trace)]).find(({ row }) => row.id === selected)
  return (
    <>
      <header>
        <h1>Inspector</h1>
        <p role="status">
          <span class={isConnected ? 'dot live' : 'dot'} aria-hidden="true" />
          {isConnected ? 'live' : 'not connected'}, {problems === 1 ? '1 problem' : `${problems} problems`}
        </p>
        <button
          type="button"
          aria-pressed={state.isPaused}
          onClick={() => update({ isPaused: !state.isPaused, now: Date.now() })}
        >
          Pause
        </button>
      </header>
      <Status statuses={state.statuses} now={now} />
      <FilterBar rows={rows} filters={filters} update={update} />
      <p class="soft count">
        {shown.length} of {all.length} traces. Arrow keys move in the table, Enter shows what a row saw, Escape closes
        it.
      </p>
      <div class={node === undefined ? 'body' : 'body split'}>
        <div class="scroll">
          <TraceTable traces={shown.slice(0, limit)} state={state} update={update} />
          {shown.length > limit && (
            <button type="button" class="more" onClick={() => update({ limit: limit * 2 })}>
              Show more
            </button>
          )}
          {shown.length === 0 && (
            <p class="empty">
              {all.length === 0 ? 'No request yet. Send one, and it appears here.' : 'No trace matches the filters.'}
            </p>
          )}
        </div>
        {node !== undefined && <Details node={node} now={now} close={() => closeDetails(node.row.id, update)} />}
      </div>
    </>
  )
}

/** The focus returns to the row. */
function closeDetails(id: string, update: Update): void {
  update({ selected: undefined, focused: id })
  document.getElementById(id)?.focus()
}
