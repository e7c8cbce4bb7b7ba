import type { Context } from '@opentelemetry/api'
import type { Cell } from '../context/cell.ts'
import { attachedTo } from '../tasks/narrowed-cell.ts'

/** In the storage where an OpenTelemetry context is active outside any unit. */
export class Outside {
  readonly attached: unknown

  constructor(attached: unknown) {
    this.attached = attached
  }
}

export type Stored = Cell | Outside | undefined

/** An OpenTelemetry context that was entered by `attach`, and not for the time of a function. */
export class Attachment {
  readonly context: Context
  readonly #before: Stored
  disposed = false

  constructor(context: Context, before: Stored) {
    this.context = context
    this.#before = before
  }

  /** Where to go back to: not to an attachment that was disposed of before this one. */
  get before(): Stored {
    const attached = attachedTo(this.#before as Cell | undefined)
    return attached instanceof Attachment && attached.disposed ? attached.before : this.#before
  }
}

/** What is active there. An attachment that nobody has disposed of ends with its unit. */
export function contextIn(stored: Stored): Context | undefined {
  const attached = attachedTo(stored as Cell | undefined)
  if (!(attached instanceof Attachment)) return attached as Context | undefined
  return attached.disposed || !(stored as Cell).sealed ? attached.context : contextIn(attached.before)
}
