import { get, type IncomingHttpHeaders } from 'node:http'
import { onTestFinished, vi } from 'vitest'
import type { Row, ServiceStatus } from '../../src/inspector/row.ts'

/** The events of an inspector, as a page receives them. */
export class EventReader {
  /** Everything that was received. */
  text = ''
  readonly rows = new Map<string, Row>()
  statuses: ServiceStatus[] = []
  lastId = ''
  resets = 0
  /** How many events of rows were received. */
  received = 0
  isOver = false
  readonly headers: IncomingHttpHeaders
  readonly #destroy: () => void

  private constructor(headers: IncomingHttpHeaders, destroy: () => void) {
    this.headers = headers
    this.#destroy = destroy
  }

  /** `url` is the address of the page. */
  static open(url: string, headers: Record<string, string> = {}): Promise<EventReader> {
    const { promise, resolve, reject } = Promise.withResolvers<EventReader>()
    const request = get(`${url}/events`, { agent: false, headers }, (response) => {
      const reader = new EventReader(response.headers, () => response.destroy())
      onTestFinished(() => reader.close())
      response.on('error', () => {})
      response.on('close', () => {
        reader.isOver = true
      })
      let rest = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        reader.text += chunk
        const events = (rest + chunk).split('\n\n')
        rest = events.pop() ?? ''
        for (const event of events) reader.#receive(event)
      })
      resolve(reader)
    })
    request.on('error', reject)
    return promise
  }

  /** Waits for a row with this name and this state. */
  row(name: string, state: Row['state'] = 'ended'): Promise<Row> {
    return vi.waitUntil(() => [...this.rows.values()].find((row) => row.name === name && row.state === state), {
      timeout: 10_000,
    })
  }

  until(condition: () => boolean): Promise<boolean> {
    return vi.waitUntil(condition, { timeout: 10_000 })
  }

  close(): void {
    this.#destroy()
  }

  #receive(event: string): void {
    const value = (field: string) => new RegExp(`^${field}: ?(.*)$`, 'm').exec(event)?.[1]
    const [kind, data = ''] = [value('event'), value('data')]
    this.lastId = value('id') ?? this.lastId
    if (kind === 'status') this.statuses = JSON.parse(data) as ServiceStatus[]
    else if (kind === 'remove') this.rows.delete(data)
    else if (kind === 'reset') {
      this.resets++
      this.rows.clear()
    } else if (kind === undefined && data !== '') {
      const row = JSON.parse(data) as Row
      this.rows.set(row.id, row)
      this.received++
    }
  }
}
