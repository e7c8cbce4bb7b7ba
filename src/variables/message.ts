import { ContextVar } from '../context/context-var.ts'
import { processSingleton } from '../context/storage.ts'
import type { SpanLink } from './trace-context.ts'

/** The job that the current work is for, as its engine names it. */
export interface MessageInfo {
  readonly queue: string
  readonly name: string
  /** The engine's id. Undefined if the engine has none. */
  readonly id: string | undefined
  /** Counts up from 1. */
  readonly attempt: number
  /** The policy by which it was enqueued. Undefined if the sender's context is missing or not trusted. */
  readonly policy: 'inherit' | 'isolate' | 'only' | 'except' | undefined
  /** For a batch: the spans that sent its messages. */
  readonly links?: readonly SpanLink[]
}

/** The job that the current work is for; unset in a request. Tasks of the job see it if their policy says so. */
export const message: ContextVar<MessageInfo> = processSingleton(
  'message',
  () => new ContextVar<MessageInfo>('message', { survivesSeal: true }),
)
