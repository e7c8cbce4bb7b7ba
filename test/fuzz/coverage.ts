import { Session } from 'node:inspector/promises'

const sources = new URL('../../src/', import.meta.url).href

/** By file, a byte a character: whether it has run. */
type Ran = Map<string, Uint8Array>

/** What code of ours ran: it shows whether an input reached code that no input reached before. */
export class Coverage {
  readonly #session = new Session()
  readonly #known: Ran = new Map()

  static async start(): Promise<Coverage> {
    const coverage = new Coverage()
    coverage.#session.connect()
    await coverage.#session.post('Profiler.enable')
    await coverage.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
    return coverage
  }

  stop(): void {
    this.#session.disconnect()
  }

  /** Whether anything has run since the last call of either method that is not known. */
  async isNew(): Promise<boolean> {
    const ran = await this.#take()
    return [...ran].some(([url, bytes]) => bytes.some((byte, at) => byte > (this.#known.get(url)?.[at] ?? 0)))
  }

  /** The same, and it is known from here on. */
  async add(): Promise<boolean> {
    let isNew = false
    for (const [url, bytes] of await this.#take()) {
      const known = this.#knownOf(url, bytes.length)
      for (const [at, byte] of bytes.entries()) {
        if (byte <= (known[at] ?? 0)) continue
        known[at] = byte
        isNew = true
      }
    }
    return isNew
  }

  /** At least this length: V8 does not report functions that it discarded, so a file can seem short. */
  #knownOf(url: string, length: number): Uint8Array {
    const known = this.#known.get(url)
    if (known !== undefined && known.length >= length) return known
    const grown = new Uint8Array(length)
    if (known !== undefined) grown.set(known)
    this.#known.set(url, grown)
    return grown
  }

  /** Resets the counts of V8. */
  async #take(): Promise<Ran> {
    const { result } = await this.#session.post('Profiler.takePreciseCoverage')
    const ran: Ran = new Map()
    for (const { url, functions } of result) {
      if (!url.startsWith(sources)) continue
      const ranges = functions.flatMap((known) => known.ranges)
      const bytes = new Uint8Array(Math.max(...ranges.map(({ endOffset }) => endOffset)))
      // Outer ranges come first; the inner ones say where it is otherwise.
      for (const { startOffset, endOffset, count } of ranges) bytes.fill(count > 0 ? 1 : 0, startOffset, endOffset)
      ran.set(url, bytes)
    }
    return ran
  }
}
