import type { ClientRequest, IncomingMessage } from 'node:http'
import { outside } from '../context/current.ts'
import { after } from '../tasks/timer.ts'
import type { Row, ServiceStatus } from './row.ts'

/** The inspector of another process. */
export interface OtherService {
  /** The address of its page, such as `http://127.0.0.1:3001/__context`. */
  readonly url: string
  /** For its guard, for example `{ authorization: 'Bearer …' }`. Default: none. */
  readonly headers?: Readonly<Record<string, string>>
}

const retryMs = 1000
/** Longer events are not of an inspector. */
const maxEventLength = 1024 * 1024

/** Receives the rows of one other service while there are viewers, and connects again when the connection ends. */
export class OtherServiceStream {
  readonly #service: OtherService
  readonly #publish: (row: Row) => void
  readonly #onStatus: () => void
  readonly #open = new Map<string, Row>()
  #request: ClientRequest | undefined
  #cancelRetry: (() => void) | undefined
  #isWatched = false
  #state: ServiceStatus['state'] = 'connecting'
  #status: Partial<ServiceStatus> = {}

  constructor(service: OtherService, publish: (row: Row) => void, onStatus: () => void) {
    this.#service = service
    this.#publish = publish
    this.#onStatus = onStatus
  }

  get status(): ServiceStatus {
    const { url } = this.#service
    const omitted = { units: 0, parts: 0, failures: 0, replaced: 0 }
    const nothing = { service: url, omitted, groups: [], findings: [], doctor: false, drains: [] }
    return { ...nothing, ...this.#status, url, state: this.#state }
  }

  watch(isWatched: boolean): void {
    if (isWatched === this.#isWatched) return
    this.#isWatched = isWatched
    if (isWatched) return this.#connect()
    this.#cancelRetry?.()
    this.#request?.destroy()
  }

  #connect(): void {
    const { url, headers = {} } = this.#service
    const { get } = process.getBuiltinModule(url.startsWith('https:') ? 'node:https' : 'node:http')
    const options = { agent: false, headers: { ...headers, accept: 'text/event-stream' } }
    // The connection belongs to no request, and carries the context of none.
    this.#request = outside(() => get(`${url.replace(/\/$/, '')}/events?own`, options))
    this.#request.on('response', (response) => this.#read(response))
    this.#request.on('error', () => {})
    this.#request.on('close', () => this.#closed())
  }

  #read(response: IncomingMessage): void {
    const isStream = response.headers['content-type'] === 'text/event-stream'
    if (response.statusCode !== 200 || !isStream) {
      this.#state = response.statusCode === 403 ? 'refused' : 'unreachable'
      response.resume()
      return
    }
    let text = ''
    response.on('error', () => {})
    response.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      const events = text.split('\n\n')
      text = events.pop() ?? ''
      for (const event of events) this.#receive(event)
      if (text.length > maxEventLength) response.destroy()
    })
  }

  #receive(event: string): void {
    const fields = new Map(event.split('\n').map((line) => line.split(/: ?([^]*)/, 2) as [string, string]))
    const data = parse(fields.get('data') ?? '')
    if (fields.get('event') === 'status') {
      const [status] = Array.isArray(data) ? (data as unknown[]) : []
      if (!isObject(status) || typeof status['service'] !== 'string') return
      this.#status = status
      this.#state = 'live'
      this.#onStatus()
    } else if (!fields.has('event') && isRow(data)) {
      if (data.endedAt === undefined) this.#open.set(data.id, data)
      else this.#open.delete(data.id)
      this.#publish(data)
    }
  }

  /** What was open there is lost, unless the service sends it again. */
  #closed(): void {
    for (const row of this.#open.values()) {
      this.#publish({ ...row, state: 'ended', outcome: 'lost', endedAt: Date.now() })
    }
    this.#open.clear()
    if (this.#state !== 'refused') this.#state = this.#isWatched ? 'unreachable' : 'connecting'
    if (!this.#isWatched) return
    this.#onStatus()
    this.#cancelRetry = outside(() => after(retryMs, () => this.#connect(), { ref: false }))
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isRow(value: unknown): value is Row {
  if (!isObject(value) || typeof value['openedAt'] !== 'number') return false
  return ['id', 'service', 'kind', 'name', 'state'].every((key) => typeof value[key] === 'string')
}
