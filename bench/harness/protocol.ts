import type { WarmUp } from './loop.ts'

/** A question of the parent. The parent sends one at a time. */
export type Question =
  | { readonly ask: 'check' }
  | { readonly ask: 'calibrate'; readonly batchMs: number; readonly warmUp: WarmUp }
  | { readonly ask: 'batch'; readonly count: number }
  | { readonly ask: 'load'; readonly load: Load }
  | { readonly ask: 'usage' }
  | { readonly ask: 'bytes'; readonly count: number }
  | { readonly ask: 'open'; readonly port: number; readonly count: number; readonly untilReply: boolean }

export interface Load {
  readonly port: number
  readonly headers: Readonly<Record<string, string>>
  readonly connections: number
  /** The minimum time and the minimum number of requests. */
  readonly ms: number
  readonly requests: number
  /** The requests per second of an open loop. Without it, a connection sends a request after each reply. */
  readonly rate?: number
}

/** An answer of the process: first `ready` or `listening`, then one answer for each question. */
export type Answer =
  | { readonly is: 'ready' }
  | { readonly is: 'listening'; readonly port: number }
  | { readonly is: 'done'; readonly bytes?: number | undefined }
  | { readonly is: 'count'; readonly count: number }
  | { readonly is: 'time'; readonly nsPerOp: number }
  | { readonly is: 'loaded'; readonly requests: number; readonly ms: number; readonly p99Ms: number }
  | { readonly is: 'usage'; readonly cpuMicros: number }
  | { readonly is: 'bytes'; readonly bytes: number }
  | { readonly is: 'failed'; readonly error: string }

/**
 * Answers the questions of the parent, one at a time. If `answer` throws, the answer is the error. Calls `close` before the
 * process ends.
 */
export function answerWith(
  answer: (question: Question) => Answer | Promise<Answer>,
  close: () => Promise<unknown> = async () => {},
): void {
  process.on('message', (question: Question) => void reply(question))
  // Without it a server would outlive its parent.
  const end = () => void close().finally(() => process.exit())
  process.once('disconnect', end).once('SIGTERM', end)

  async function reply(question: Question): Promise<void> {
    try {
      tell(await answer(question))
    } catch (error) {
      tell({ is: 'failed', error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    }
  }
}

export function tell(answer: Answer): void {
  process.send?.(answer)
}

/** For a question that the program cannot answer. */
export function unknown(question: Question): never {
  throw new Error(`This program cannot answer '${question.ask}'.`)
}
