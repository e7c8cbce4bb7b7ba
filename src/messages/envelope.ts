import { anyOf, type Check, checkArgument, isFunction, isRecord } from '../options.ts'
import type { RefusalReason } from '../propagators/propagator.ts'
import type { MessageFields } from './message-fields.ts'

/** The key of the envelope in a message whose engine has no headers. */
export const envelopeKey = 'logicalContext'

/** The version of the envelope's form. A reader treats every other version as an unknown sender. */
const version = 1
/** The longest envelope that is read, in UTF-16 code units: the budget of a sender, the names and some room. */
const maxLength = 16_384

/** The user's data, with the fields in one envelope next to it. */
export interface Enveloped {
  readonly [envelopeKey]: { readonly v: typeof version } & MessageFields
}

/** The envelope is next to the data, so the data must have properties by name. */
export const enclosable: Check = anyOf(
  'an object as data, not an array: the context travels in a property of it',
  (value) => value === null || value === undefined || isRecord(value),
)

/** What JSON makes of data with a method `toJSON`. A copy of its properties would not have the method. */
export function withoutMethods<Data>(data: Data): Data {
  const { toJSON } = Object(data) as { toJSON?: unknown }
  return isFunction(toJSON) ? (toJSON.call(data, '' as never) as Data) : data
}

/**
 * A copy of the user's data with an envelope. An envelope that is already in the data is replaced. Data with a method
 * `toJSON` is what that method returns.
 *
 * @throws {TypeError} if the data is not an object, or is an array or a Map.
 */
export function withEnvelope<Data extends object>(
  data: Data | null | undefined,
  fields: MessageFields,
): Data & Enveloped {
  const plain = withoutMethods(data)
  checkArgument('withEnvelope', enclosable, plain)
  return { ...plain, [envelopeKey]: { v: version, ...fields } } as Data & Enveloped
}

/** A received message: the user's data without the envelope, and the fields of the envelope. */
export interface Opened<Data> {
  readonly data: Data
  /** Undefined if there is no envelope, or none that can be read. */
  readonly fields: MessageFields | undefined
  /** Why an envelope was not read; undefined if it was read, or if there is none. */
  readonly refused: RefusalReason | undefined
}

/** Takes a received message apart. Never throws: a bad envelope has no fields, and the data stays usable. */
export function openEnvelope<Data>(received: Data): Opened<Data> {
  if (!isPlainData(received) || !Object.hasOwn(received, envelopeKey)) {
    return { data: received, fields: undefined, refused: undefined }
  }
  const { [envelopeKey]: envelope, ...data } = received
  const fields = fieldsOf(envelope)
  if (typeof fields === 'string') return { data: data as Data, fields: undefined, refused: fields }
  return { data: data as Data, fields, refused: undefined }
}

function fieldsOf(envelope: unknown): MessageFields | RefusalReason {
  if (!isPlainData(envelope) || envelope['v'] !== version) return 'malformed'
  // In this copy `__proto__` is a name like every other one.
  const { v: _, ...fields } = envelope
  let length = 0
  for (const name in fields) {
    if (!Object.hasOwn(fields, name)) continue
    const value = fields[name]
    if (typeof value !== 'string') return 'malformed'
    length += name.length + value.length
    if (length > maxLength) return 'truncated'
  }
  return fields as MessageFields
}

function isPlainData(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
