import { anyOf, type Check } from '../options.ts'

/** Whether a character may occur in a token, by its code. RFC 9110, 5.6.2 */
const tokenCharacters: Uint8Array = new Uint8Array(0x10000)
for (let code = 0x21; code <= 0x7e; code++) {
  if (!'"(),/:;<=>?@[\\]{}'.includes(String.fromCharCode(code))) tokenCharacters[code] = 1
}

/** The position after the token characters that start at `start`. */
export function endOfToken(text: string, start: number): number {
  let end = start
  while (end < text.length && tokenCharacters[text.charCodeAt(end)] === 1) end++
  return end
}

/** Whether a text is a token, such as a header name. RFC 9110, 5.6.2 */
export function isToken(text: string): boolean {
  return text !== '' && endOfToken(text, 0) === text.length
}

export const aFieldName: Check = anyOf('the name of a header', (value) => typeof value === 'string' && isToken(value))

/** Whether a text is a header value that every client accepts: printable ASCII, space and tab. RFC 9110, 5.5 */
export function isFieldValue(text: unknown): text is string {
  if (typeof text !== 'string') return false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if ((code < 0x20 && code !== 0x09) || code > 0x7e) return false
  }
  return true
}

/**
 * The text between two positions without the optional whitespace around it: space and tab. `trim()` also removes NBSP,
 * VT, LF and BOM. RFC 9110, 5.6.3
 */
export function trimOws(text: string, start: number = 0, end: number = text.length): string {
  let from = start
  let to = end
  while (from < to && isOws(text.charCodeAt(from))) from++
  while (to > from && isOws(text.charCodeAt(to - 1))) to--
  return from === 0 && to === text.length ? text : text.slice(from, to)
}

/**
 * A text that does not retain the text it was cut from. In V8 a slice of 13 characters or more keeps its whole source,
 * other members' values included. Slicing a concatenation makes V8 copy it first.
 */
export function copyText(text: string): string {
  return text.length < 13 ? text : `,${text}`.slice(1)
}

function isOws(code: number): boolean {
  return code === 0x20 || code === 0x09
}
