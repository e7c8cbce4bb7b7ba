import type { JSX } from 'preact'
import type { DrainStatus, FindingStatus, GroupStatus, ServiceStatus } from '../src/inspector/row.ts'
import { colorOf, duration } from './text.ts'

interface StatusProps {
  readonly statuses: readonly ServiceStatus[]
  readonly now: number
}

/** The services, their drains, their full groups, and where they lose the context. */
export function Status({ statuses, now }: StatusProps): JSX.Element {
  const omitted = statuses.reduce((sum, own) => sum + own.omitted.units, 0)
  return (
    <>
      <ul class="services" aria-label="Services">
        {statuses.map((own) => (
          <li key={own.url ?? ''}>
            <span class={own.service === own.url ? '' : `service ${colorOf(own.service)}`}>{own.service}</span>{' '}
            {own.state !== 'live' && own.state}
            {own.groups.map((group) => (
              <Group key={group.name} {...group} />
            ))}
          </li>
        ))}
        {omitted > 0 && <li class="soft">{omitted} units were not recorded: the rate is above the limit</li>}
      </ul>
      {statuses.flatMap((own) =>
        own.drains.slice(-1).map((drain) => <Drain {...drain} key={own.url} service={own.service} now={now} />),
      )}
      <Findings statuses={statuses} />
    </>
  )
}

function Group({ name, running, queued, waiting, failed, refused }: GroupStatus): JSX.Element {
  const counts = { running, queued, waiting, failed, refused }
  const shown = Object.entries(counts).filter(([key, count]) => key === 'running' || count > 0)
  return (
    <span class={queued + waiting > 0 ? 'group full' : 'group'}>
      {name}: {shown.map(([key, count]) => `${count} ${key}`).join(', ')}
    </span>
  )
}

function Drain(props: DrainStatus & { readonly service: string; readonly now: number }): JSX.Element {
  const { service, timeoutMs, startedAt, unitsLeft, tasksLeft, endedAt, reachedLimit, now } = props
  const elapsed = (endedAt ?? now) - startedAt
  const left = `${amount(unitsLeft, 'request')} and ${amount(tasksLeft, 'task')} left`
  const progress =
    endedAt === undefined ? `drains: ${left}` : `drained: ${reachedLimit === true ? left : 'nothing is left'}`
  return (
    <div class={reachedLimit === true ? 'drain failed' : 'drain'}>
      <span role="status">
        <b>{service}</b> {progress}
      </span>
      , {duration(elapsed)} of {duration(timeoutMs)}{' '}
      <progress max={timeoutMs} value={Math.min(elapsed, timeoutMs)} aria-label={`drain of ${service}`} />
    </div>
  )
}

function Findings({ statuses }: { readonly statuses: readonly ServiceStatus[] }): JSX.Element | null {
  const found = statuses.flatMap(({ service, findings }) => findings.map((finding) => ({ service, ...finding })))
  if (found.length === 0) return null
  return (
    <details class="findings" open>
      <summary>{found.length === 1 ? '1 place loses' : `${found.length} places lose`} the context</summary>
      <ul>
        {found.map((finding, index) => (
          <Finding key={index} {...finding} />
        ))}
      </ul>
      {statuses.some(({ doctor }) => !doctor) && (
        <p class="soft">The doctor shows the line of code: start with LOGICAL_CONTEXT_DOCTOR=1.</p>
      )}
    </details>
  )
}

function Finding({
  service,
  what,
  count: times,
  callSite,
  library,
  advice,
}: FindingStatus & { readonly service: string }): JSX.Element {
  return (
    <li>
      <span class={`service ${colorOf(service)}`}>{service}</span> {times} × {what}{' '}
      {callSite && <code>{callSite}</code>}
      {library && ` (called by ${library})`} {advice && <span class="soft">{advice}</span>}
    </li>
  )
}

function amount(number: number, word: string): string {
  return number === 1 ? `1 ${word}` : `${number} ${word}s`
}
