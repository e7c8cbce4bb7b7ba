import { anyOf, type Check } from '../options.ts'
import { isToken } from '../variables/baggage-grammar.ts'

/** The name of a header. RFC 9110, 5.1 */
export const aFieldName: Check = anyOf('the name of a header', (value) => typeof value === 'string' && isToken(value))

/** Whether a text may be a header's value everywhere: printable ASCII, space and tab. RFC 9110, 5.5 */
export function isFieldValue(text: unknown): text is string {
  if (typeof text !== 'string') return false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if ((code < 0x20 && code !== 0x09) || code > 0x7e) return false
  }
  return true
}
