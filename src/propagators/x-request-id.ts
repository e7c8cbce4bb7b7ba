import { aFunction, type Checks, checkOptions, show } from '../options.ts'
import { isRequestId, newRequestId, requestId as variable } from '../variables/request-id.ts'
import { aFieldName } from './header-field.ts'
import type { Refuse, Propagator } from './propagator.ts'

export interface XRequestIdOptions {
  /** The header's name, in any case. Default: `x-request-id`. */
  header?: string
  /** Makes the id of a request that brings none that may be used: 1 to 128 of `A-Z a-z 0-9 . _ -`. Default: a UUID. */
  generate?: () => string
}

const checks: Checks = { header: aFieldName, generate: aFunction }

/**
 * The request's id. After `extract` there is always one: the caller's, if its trace is continued and its id may be used
 * as it is, else a new one; one that is in the context already is kept. Goes out where the trace goes.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type; on a request, if `generate` gives no usable id.
 */
export function xRequestId(options?: XRequestIdOptions): Propagator {
  checkOptions('xRequestId', options, checks)
  const { header = 'x-request-id', generate } = options ?? {}
  const newId = generate === undefined ? newRequestId : () => checked(generate())
  const field = header.toLowerCase()

  return {
    fields: [field],
    extract(context, carrier, peer) {
      if (context.has(variable)) return context
      const text = carrier.get(field)
      if (text === undefined) return context.with(variable, newId())
      const id = peer.trace === 'continue' ? usable(text, field, peer.refuse) : refused(field, peer.refuse)
      return context.with(variable, id ?? newId())
    },
    inject(context, carrier, destination) {
      const id = context.get(variable)
      if (id === undefined || !destination.trace || carrier.has(field)) return
      if (isRequestId(id)) carrier.set(field, id)
      else destination.refuse('malformed', field)
    },
  }
}

function usable(text: string, field: string, refuse: Refuse): string | undefined {
  if (isRequestId(text)) return text
  refuse(text.includes(',') ? 'duplicate' : 'malformed', field)
  return undefined
}

function refused(field: string, refuse: Refuse): undefined {
  refuse('refused', field)
}

function checked(id: string): string {
  if (isRequestId(id)) return id
  throw new TypeError(`requestId: expected generate() to give 1 to 128 of A-Z a-z 0-9 . _ -, got ${show(id)}.`)
}
