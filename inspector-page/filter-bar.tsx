import type { JSX } from 'preact'
import type { Row } from '../src/inspector/row.ts'
import { type Filters, noFilters } from './filters.ts'
import type { Update } from './state.ts'

const policies = ['inherit', 'only', 'except', 'isolate', 'share']
const outcomes = ['running', 'waiting', 'closing', 'done', 'failed', 'cancelled', 'withdrawn', 'refused', 'lost']

interface FilterBarProps {
  readonly rows: ReadonlyMap<string, Row>
  readonly filters: Filters
  readonly update: Update
}

export function FilterBar({ rows, filters, update }: FilterBarProps): JSX.Element {
  const set = (change: Partial<Filters>) => update({ filters: { ...filters, ...change } })
  const services = new Set(Array.from(rows.values(), ({ service }) => service))
  const names = new Set<string>()
  for (const { kind, name } of rows.values()) if (kind !== 'call' && names.size < 100) names.add(name)
  const isFiltered = Object.entries(filters).some(([key, value]) => value !== noFilters[key as keyof Filters])
  return (
    <form role="search" aria-label="Filters" onSubmit={(event) => event.preventDefault()}>
      <label>
        Search{' '}
        <input type="search" value={filters.text} onInput={(event) => set({ text: event.currentTarget.value })} />
      </label>
      <label>
        Name <input list="names" value={filters.name} onInput={(event) => set({ name: event.currentTarget.value })} />
      </label>
      <datalist id="names">
        {[...names].toSorted().map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <Choice
        label="Service"
        value={filters.service}
        values={[...services].toSorted()}
        onChange={(service) => set({ service })}
      />
      <Choice label="Policy" value={filters.policy} values={policies} onChange={(policy) => set({ policy })} />
      <Choice label="Outcome" value={filters.outcome} values={outcomes} onChange={(outcome) => set({ outcome })} />
      <label>
        <input
          type="checkbox"
          checked={filters.problems}
          onChange={(event) => set({ problems: event.currentTarget.checked })}
        />{' '}
        only problems
      </label>
      {isFiltered && (
        <button type="button" onClick={() => update({ filters: noFilters })}>
          Clear
        </button>
      )}
    </form>
  )
}

interface ChoiceProps {
  readonly label: string
  readonly value: string
  readonly values: readonly string[]
  readonly onChange: (value: string) => void
}

function Choice({ label, value, values, onChange }: ChoiceProps): JSX.Element {
  return (
    <label>
      {label}{' '}
      <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        <option value="">all</option>
        {values.map((own) => (
          <option key={own} value={own}>
            {own}
          </option>
        ))}
      </select>
    </label>
  )
}
