import type { JSX } from 'preact'
import { outcomeOf, problemOf } from './filters.ts'
import { duration } from './text.ts'
import type { Node } from './traces.ts'

interface DetailsProps {
  readonly node: Node
  readonly now: number
  readonly close: () => void
}

/** What is known of one row: above all what it saw of the declared fields. */
export function Details({ node: { row, via }, now, close }: DetailsProps): JSX.Element {
  const { fields = {}, openedAt, startedAt, endedAt, notes } = row
  const facts = {
    Service: row.service,
    Policy: row.policy,
    Group: row.group,
    Result: [outcomeOf(row), row.status].join(' '),
    Problem: problemOf(row, now) ?? (via && problemOf(via, now)),
    Reason: row.reason,
    Notes: notes?.join(', '),
    Began: new Date(openedAt).toLocaleTimeString(),
    Waited: startedAt === undefined ? undefined : duration(startedAt - openedAt),
    Took: duration((endedAt ?? now) - (startedAt ?? openedAt)),
    'Reached by': via && `${via.kind} ${via.name}, ${outcomeOf(via)}, ${duration((via.endedAt ?? now) - via.openedAt)}`,
    Request: row.requestId,
    Trace: row.traceId,
    Span: row.spanId,
    'Parent span': row.parentSpanId,
    'Linked to': row.linkSpanId,
  }
  return (
    <aside aria-label="Details" onKeyDown={(event) => event.key === 'Escape' && close()}>
      <button type="button" class="close" aria-label="Close the details" onClick={close}>
        ✕
      </button>
      <h2>{row.name}</h2>
      {Object.keys(fields).length > 0 && (
        <table>
          <caption>What it saw</caption>
          <thead>
            <tr>
              <th scope="col">Variable</th>
              <th scope="col">At its begin</th>
              <th scope="col">{endedAt === undefined ? 'Now' : 'At its end'}</th>
            </tr>
          </thead>
          <tbody>
            {Object.entries(fields).map(([name, [start, last]]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{start ?? '·'}</td>
                <td class={start === last ? '' : 'changed'}>{last ?? '·'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <dl>
        {Object.entries(facts).map(([name, fact]) =>
          fact === undefined || fact === '' ? null : (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{fact}</dd>
            </div>
          ),
        )}
      </dl>
    </aside>
  )
}
