import type { ServerResponse } from 'node:http'
import { root } from '../context/storage.ts'
import type { TaskGroup } from '../tasks/task-group.ts'
import type { Entry } from './row-buffer.ts'

/** A page that is open, or another inspector that merges these rows. */
export interface Viewer {
  readonly response: ServerResponse
  /** Whether it receives the rows of this process only. */
  readonly ownOnly: boolean
  /** The group whose drain ends the stream; undefined if its server does not drain. */
  readonly group: TaskGroup | undefined
  /** Whether its server still listens. */
  readonly isServed: () => boolean
}

export interface EventStreamsOptions {
  /** In the ids of the events: an id of another process is not one of ours. */
  readonly process: string
  /** The entries after a place in the order of changes. */
  readonly entriesAfter: (sequence: number) => Entry[]
  /** The newest place in the order of changes. */
  readonly lastSequence: () => number
  readonly isOwn: (entry: Entry) => boolean
  /** The text of the event `status`. */
  readonly status: (ownOnly: boolean) => string
  /** Called when the first viewer comes, and when the last one leaves. */
  readonly onWatched: (isWatched: boolean) => void
}

/** More streams are refused. */
const maxViewers = 32
/** A viewer that reads more slowly than this many bytes is cut off; it connects again and continues. */
const maxUnreadBytes = 4 * 1024 * 1024
const statusMs = 1000

/** The streams of server-sent events. An event of a row has an id; a viewer that connects again continues after it. */
export class EventStreams {
  readonly #options: EventStreamsOptions
  readonly #viewers = new Set<Viewer>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: EventStreamsOptions) {
    this.#options = options
  }

  /** Begins a stream with what happened after `lastId`, or with all rows. Returns false if there are too many streams. */
  add(viewer: Viewer, lastId: string | undefined): boolean {
    if (this.#viewers.size >= maxViewers) return false
    const { process, entriesAfter } = this.#options
    const { response } = viewer
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const [, known] = new RegExp(`^${process}\\.(\\d{1,15})$`).exec(lastId ?? '') ?? []
    const sequence = Number(known ?? 0)
    const isKnown = known !== undefined && sequence <= this.#options.lastSequence()
    response.write(`retry: 1000\n${isKnown ? '' : 'event: reset\ndata:\n'}\n`)
    for (const entry of entriesAfter(isKnown ? sequence : 0)) this.#sendTo(viewer, entry)
    this.#viewers.add(viewer)
    response.once('close', () => this.#remove(viewer))
    if (this.#timer === undefined) this.#start()
    this.#sendStatusTo(viewer)
    return true
  }

  send(entry: Entry): void {
    for (const viewer of this.#viewers) this.#sendTo(viewer, entry)
  }

  sendRemoval(id: string): void {
    for (const { response } of this.#viewers) response.write(`event: remove\ndata: ${id}\n\n`)
  }

  sendStatus(): void {
    for (const viewer of this.#viewers) this.#sendStatusTo(viewer)
  }

  /** Ends the streams that fulfil a condition. */
  end(condition: (viewer: Viewer) => boolean): void {
    for (const viewer of this.#viewers) {
      if (!condition(viewer)) continue
      viewer.response.end()
      // A slow reader closes later, and a write after the end is an error.
      this.#remove(viewer)
    }
  }

  /** A timer keeps the contexts in which it is set. */
  #start(): void {
    this.#options.onWatched(true)
    const tick = () => {
      this.sendStatus()
      this.end(({ isServed, group }) => group === undefined && !isServed())
    }
    this.#timer = root.runInAsyncScope(() => setInterval(tick, statusMs)).unref()
  }

  #remove(viewer: Viewer): void {
    if (!this.#viewers.delete(viewer) || this.#viewers.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#options.onWatched(false)
  }

  #sendTo({ response, ownOnly }: Viewer, entry: Entry): void {
    if (ownOnly && !this.#options.isOwn(entry)) return
    response.write(`id: ${this.#options.process}.${entry.sequence}\ndata: ${entry.text}\n\n`)
    if (response.writableLength > maxUnreadBytes) response.destroy()
  }

  #sendStatusTo({ response, ownOnly }: Viewer): void {
    response.write(`event: status\ndata: ${this.#options.status(ownOnly)}\n\n`)
  }
}
