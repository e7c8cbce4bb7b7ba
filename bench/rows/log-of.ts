import type { Logger, LoggerOptions } from 'pino'

let last = ''

/** A pino logger that keeps its last line and drops the others. */
export async function logOf(options: LoggerOptions = {}): Promise<Logger> {
  const { pino } = await import('pino')
  return pino(options, lines)
}

export const lines = { write: (line: string): void => void (last = line) }

export function lastLine(): string {
  return last
}
