import type { IncomingMessage, ServerResponse } from 'node:http'
import { basename } from 'node:path'
import { type KnownField, type LogField, LogFields, aFieldList } from '../bridges/log-fields.ts'
import { exchangeOf } from '../middleware/exchange.ts'
import { aFunction, anyOf, aString, type Check, type Checks, checkOptions } from '../options.ts'
import { callingUnit } from '../tasks/unit.ts'
import { isAdmitted, isLocal, type Guard } from './access.ts'
import { EventStreams } from './event-streams.ts'
import { type OtherService, OtherServiceStream } from './other-services.ts'
import { pageFiles } from './page-files.ts'
import { Recorder } from './recorder.ts'
import type { Row, ServiceStatus } from './row.ts'
import { RowBuffer } from './row-buffer.ts'
import { Sampler } from './sampler.ts'
import { StatusWatch } from './status-watch.ts'

/** Options of the inspector. `Request` is what the guard receives. */
export interface InspectorOptions<Request> {
  /** The name of this service on the page. Default: the name of the program's main file. */
  service?: string
  /** The variables whose values the page shows, by name. A sensitive variable throws. Default: none. */
  fields?: Readonly<Record<string, LogField>>
  /**
   * Decides which requests see the inspector, in place of the rule that only this machine does. Required if `NODE_ENV` is
   * `production`. Default: none.
   */
  guard?: Guard<Request>
  /** Inspectors of other processes, by the address of their pages. Their rows are merged by trace. Default: none. */
  services?: readonly (string | OtherService)[]
  /** How many rows are kept: units, tasks and calls. Default: 2,000. */
  maxRows?: number
  /** How many units are recorded in a second; of more, a part. Default: 100. */
  maxUnitsPerSecond?: number
}

const aCount: Check = anyOf('a whole number of at least 1', (value) => Number.isInteger(value) && Number(value) >= 1)
const services: Check = anyOf(
  'a list of URLs or { url, headers }',
  (value) =>
    Array.isArray(value) &&
    value.every((service) => isHttpUrl(typeof service === 'string' ? service : (service as OtherService | null)?.url)),
)

/** A request in an app of Express that is mounted: its `url` begins at the mount. */
export type MountedRequest = IncomingMessage & { readonly originalUrl?: string }

/** The checks of `InspectorOptions`. */
export const inspectorChecks: Checks = {
  service: aString,
  fields: aFieldList,
  guard: aFunction,
  services,
  maxRows: aCount,
  maxUnitsPerSecond: aCount,
}

/** The ids that a row has in places of their own. */
const noKeys: Readonly<Record<KnownField, false>> = {
  request_id: false,
  trace_id: false,
  span_id: false,
  trace_flags: false,
  task_name: false,
  task_id: false,
  job_queue: false,
  job_id: false,
  job_attempt: false,
}

const commonHeaders = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; img-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

/** Records what the process does, and serves the page. */
export class Inspector<Request> implements Disposable {
  readonly #guard: Guard<Request> | undefined
  readonly #buffer: RowBuffer
  readonly #sampler: Sampler
  readonly #recorder: Recorder
  readonly #watch: StatusWatch
  readonly #streams: EventStreams
  readonly #others: readonly OtherServiceStream[]
  readonly #service: string

  /** @throws {TypeError} for an option that is unknown or of the wrong type; in production without a guard. */
  constructor(owner: string, options: InspectorOptions<Request> | undefined) {
    const {
      service = basename(process.argv[1] ?? 'app').replace(/\.\w+$/, ''),
      fields,
      guard,
      services: others = [],
      maxRows = 2000,
      maxUnitsPerSecond = 100,
    } = checkOptions(owner, options, inspectorChecks)
    if (guard === undefined && process.env['NODE_ENV'] === 'production') {
      throw new TypeError(
        `${owner}: expected the option 'guard' in production, got none: the page shows requests and values. ` +
          'Register it in development only, or pass guard: async (request) => boolean.',
      )
    }
    this.#service = service
    this.#guard = guard
    this.#buffer = new RowBuffer(maxRows)
    this.#sampler = new Sampler(maxUnitsPerSecond)
    this.#recorder = new Recorder({
      service,
      fields: new LogFields(owner, fields === undefined ? { keys: noKeys } : { fields, keys: noKeys }),
      sampler: this.#sampler,
      publish: (row) => this.#publish(row),
      remove: (id) => {
        if (this.#buffer.delete(id)) this.#streams.sendRemoval(id)
      },
    })
    const ownId = `${this.#recorder.process}.`
    const left = () => ({
      unitsLeft: Math.max(0, this.#recorder.unitsLeft),
      tasksLeft: Math.max(0, this.#recorder.tasksLeft),
    })
    this.#watch = new StatusWatch(left, (ended) => {
      this.#recorder.flush()
      this.#streams.sendStatus()
      if (ended !== undefined) this.#streams.end(({ group }) => group === ended)
    })
    this.#streams = new EventStreams({
      process: this.#recorder.process,
      entriesAfter: (sequence) => this.#buffer.after(sequence),
      lastSequence: () => this.#buffer.lastSequence,
      isOwn: ({ row }) => row.id.startsWith(ownId),
      status: (ownOnly) => JSON.stringify([this.#status, ...(ownOnly ? [] : this.#others.map(({ status }) => status))]),
      onWatched: (isWatched) => {
        for (const other of this.#others) other.watch(isWatched)
      },
    })
    const onStatus = () => this.#streams.sendStatus()
    this.#others = others.map((other) => {
      const described = typeof other === 'string' ? { url: other } : other
      return new OtherServiceStream(described, (row) => void this.#publish(row), onStatus)
    })
  }

  /**
   * Answers a request. `path` is the rest of its path after the prefix; `asked` is what the guard receives. Only the
   * inspector's own headers are sent. Never rejects.
   */
  async serve(request: IncomingMessage, response: ServerResponse, path: string, asked: Request): Promise<void> {
    this.#recorder.hide(callingUnit()?.ownRequest)
    const isAllowed = this.#guard === undefined ? isLocal(request) : await isAdmitted(this.#guard, asked)
    if (!isAllowed) {
      const advice =
        this.#guard === undefined ? " It is for this machine only. Set the option 'guard' to admit others." : ''
      return reply(response, 403, `The inspector refused this request.${advice}\n`)
    }
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return reply(response, 405, 'GET only.\n', { allow: 'GET, HEAD' })
    if (path === '') {
      const { url = '', originalUrl = url } = request as MountedRequest
      const { pathname } = new URL(originalUrl, 'http://localhost')
      return reply(response, 302, '', { location: `${pathname.slice(pathname.lastIndexOf('/') + 1)}/` })
    }
    if (path === '/events') return this.#stream(request, response)
    const file = pageFiles[path]
    if (file === undefined) return reply(response, 404, 'Not found.\n')
    return reply(response, 200, file.text, { 'content-type': file.type })
  }

  /** Ends the streams of servers that do not wait for requests at their close. */
  endUnawaited(): void {
    this.#streams.end(({ group }) => group === undefined)
  }

  [Symbol.dispose](): void {
    this.#recorder[Symbol.dispose]()
    this.#watch[Symbol.dispose]()
    this.#streams.end(() => true)
    for (const other of this.#others) other.watch(false)
  }

  #publish(row: Row): boolean {
    const entry = this.#buffer.put(row)
    if (entry !== undefined) this.#streams.send(entry)
    return entry !== undefined || this.#buffer.has(row.id)
  }

  #stream(request: IncomingMessage, response: ServerResponse): void {
    const { url = '', headers, socket } = request
    const { server } = socket as { server?: { listening: boolean } }
    const exchange = exchangeOf(request)
    // The page shows the close of the server until its end.
    exchange?.exempt()
    const viewer = {
      response,
      ownOnly: url.endsWith('/events?own'),
      group: exchange?.scope.settings.group,
      isServed: () => server?.listening !== false,
    }
    for (const [name, value] of Object.entries(commonHeaders)) response.setHeader(name, value)
    this.#recorder.flush()
    if (request.method === 'HEAD') response.end()
    else if (!this.#streams.add(viewer, headers['last-event-id'] as string | undefined)) {
      reply(response, 503, 'Too many pages are open.\n')
    }
  }

  get #status(): ServiceStatus {
    const { omittedUnits: units, omittedParts: parts } = this.#sampler
    const { failuresOmitted: failures } = this.#recorder
    const { groups, findings, drains, isDoctorOn } = this.#watch
    const omitted = { units, parts, failures, replaced: this.#buffer.replaced }
    return { service: this.#service, state: 'live', omitted, groups, findings, doctor: isDoctorOn, drains }
  }
}

function reply(response: ServerResponse, status: number, text: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...commonHeaders, ...headers }).end(text)
}

function isHttpUrl(value: unknown): boolean {
  return typeof value === 'string' && /^https?:$/.test(URL.parse(value)?.protocol ?? '')
}
