/** A line of a JSON log. */
export type LogLine = Readonly<Record<string, unknown>>

/** A destination for a logger. It has the method that pino calls on a stream. */
export interface CapturedLog {
  /** The lines so far, in order, also a last one without a newline. One that is not a JSON object has its text in `msg`. */
  readonly lines: readonly LogLine[]
  /** The lines that have all of these fields, compared with `===`. */
  linesWith(fields: LogLine): LogLine[]
  write(text: string): void
  /** Removes the lines so far. */
  clear(): void
}

/** Captures the lines of a logger: `pino({}, captureLog())`, or `Fastify({ logger: { stream: captureLog() } })`. */
export function captureLog(): CapturedLog {
  const lines: LogLine[] = []
  let rest = ''
  return {
    lines,
    linesWith: (fields) =>
      lines.filter((line) => Object.entries(fields).every(([name, value]) => line[name] === value)),
    write(text) {
      // Without its newline, the last line can be the start of one.
      if (rest !== '') lines.pop()
      const texts = (rest + text).split('\n')
      rest = texts.at(-1) ?? ''
      lines.push(...texts.filter((line) => line !== '').map(parse))
    },
    clear() {
      lines.length = 0
      rest = ''
    },
  }
}

function parse(text: string): LogLine {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as LogLine
  } catch {
    // Not JSON: a banner, or the output of a pretty printer.
  }
  return { msg: text }
}
