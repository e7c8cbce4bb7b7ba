import { aSyncFunction, isPromise, reportOnce } from '../callbacks.ts'
import { type Checks, checkOptions, show } from '../options.ts'
import { aFieldName, copyText, isFieldValue } from '../variables/header-text.ts'
import { newUuid } from '../variables/ids.ts'
import { isRequestId, requestId } from '../variables/request-id.ts'
import { attempt, type Propagator, readField } from './propagator.ts'

/** Options of `xRequestId`. */
export interface XRequestIdOptions {
  /** The header's name, in any case. Default: `x-request-id`. */
  header?: string
  /**
   * Returns the id in the header's text, for other schemes; 1 to 128 of `A-Z a-z 0-9 . _ -`. If it returns any other
   * value or throws, the text is refused. Default: the whole text.
   */
  parse?: (text: string) => string | undefined
  /** Returns the header's text for an id; undefined to write no header. Default: the id. */
  format?: (id: string) => string | undefined
  /**
   * Called with the framework's request if it has no usable id; a Fastify request's `raw`. Returns 1 to 128 of
   * `A-Z a-z 0-9 . _ -`. Default: a UUID.
   */
  generate?: (request: GenerateRequest) => string
}

/** What every framework's request has. */
export interface GenerateRequest {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly method?: string | undefined
  readonly url?: string | undefined
}

const checks: Checks = { header: aFieldName, generate: aSyncFunction, parse: aSyncFunction, format: aSyncFunction }

/**
 * The request's id. After `extract` the context always has one: the caller's id, if its trace is continued and the id is
 * usable, else a new id. An id that the context already has is kept. It is written where the trace is written.
 *
 * If `generate` throws or returns no usable id, the error is logged once, and the id is a UUID.
 *
 * @throws {TypeError} if an option is unknown or has the wrong type.
 */
export function xRequestId(options?: XRequestIdOptions): Propagator {
  const { header = 'x-request-id', parse, format, generate } = checkOptions('xRequestId', options, checks)
  const field = header.toLowerCase()
  const read = parse === undefined ? usable : (text: string) => usable(parseWith(parse, text))
  const write = format === undefined ? (id: string) => id : (id: string) => formatWith(format, id)

  return {
    fields: [field],
    variables: [requestId],
    extract(context, carrier, peer, opener) {
      if (context.has(requestId)) return context
      const id = readField(carrier, field, peer.refuse, peer.trace === 'continue' ? read : undefined)
      if (id !== undefined) return context.with(requestId, id)
      const create = opener?.newRequestId ?? ((own = newUuid) => generateRequestId(own, { headers: {} }))
      return context.with(requestId, create(generate))
    },
    inject(context, carrier, destination) {
      const id = context.get(requestId)
      if (id === undefined || !destination.trace || carrier.has(field)) return
      const text = isRequestId(id) ? write(id) : null
      if (typeof text === 'string' && isFieldValue(text)) carrier.set(field, text)
      else if (text !== undefined) destination.refuse('malformed', field)
    },
  }
}

function usable(id: unknown): string | undefined {
  return isRequestId(id) ? id : undefined
}

/** A text that `parse` refuses by an error is a peer's error, and is not reported. */
function parseWith(parse: (text: string) => string | undefined, text: string): string | undefined {
  const id: unknown = attempt(() => parse(text))
  if (isPromise(id))
    reportOnce(parse, "the option 'parse' of xRequestId", new TypeError(`Expected a text, got ${show(id)}.`))
  return typeof id === 'string' ? copyText(id) : undefined
}

/** Null if it fails; that is reported once. */
function formatWith(format: (id: string) => string | undefined, id: string): string | null | undefined {
  try {
    const text: unknown = format(id)
    if (typeof text === 'string' || text === undefined) return text
    isPromise(text)
    throw new TypeError(`Expected a text or undefined, got ${show(text)}.`)
  } catch (error) {
    reportOnce(format, "the option 'format' of xRequestId", error)
    return null
  }
}

/** @internal The id that `generate` returns for a request. If it fails, that is reported once, and the id is a UUID. */
export function generateRequestId(
  generate: (request: never) => string,
  request: GenerateRequest,
  description: string = "the option 'generate' of xRequestId",
): string {
  if (generate === newUuid) return newUuid()
  try {
    const id: unknown = generate(request as never)
    if (isRequestId(id)) return id
    isPromise(id)
    throw new TypeError(`Expected an id of 1 to 128 characters A-Z a-z 0-9 . _ -, got ${show(id)}.`)
  } catch (error) {
    reportOnce(generate, description, error)
    return newUuid()
  }
}
