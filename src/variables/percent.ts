const percent = 0x25
/** The bytes of the text that is being decoded. */
let scratch: Buffer = Buffer.allocUnsafeSlow(4096)
/** `%00` to `%ff`, in upper case as RFC 3986, 2.1 asks of writers. */
const escapes: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
)

/**
 * A text of ASCII with its `%xx` decoded as UTF-8. Bytes that are not UTF-8 become U+FFFD, and a `%` without two hex
 * digits stays as it is: never throws, and never costs more than the bytes. W3C Baggage, 3.3.1.3
 */
export function percentDecode(text: string): string {
  if (!text.includes('%')) return text
  if (scratch.length < text.length) scratch = Buffer.allocUnsafeSlow(text.length)
  let length = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    const byte = code === percent ? hexByte(text, i + 1) : -1
    scratch[length++] = byte < 0 ? code : byte
    if (byte >= 0) i += 2
  }
  return scratch.toString('utf8', 0, length)
}

/**
 * A text with all bytes but those `isPlain` lets through as `%xx`, and so all `%`. A lone surrogate goes out as U+FFFD.
 */
export function percentEncode(text: string, isPlain: (code: number) => boolean): string {
  let plain = 0
  while (plain < text.length && text.charCodeAt(plain) !== percent && isPlain(text.charCodeAt(plain))) plain++
  if (plain === text.length) return text
  let encoded = ''
  for (const byte of Buffer.from(text)) {
    encoded += byte !== percent && isPlain(byte) ? String.fromCharCode(byte) : escapes[byte]
  }
  return encoded
}

/** The byte of two hex digits of either case, or -1. */
function hexByte(text: string, at: number): number {
  const high = hexDigit(text.charCodeAt(at))
  const low = hexDigit(text.charCodeAt(at + 1))
  return high < 0 || low < 0 ? -1 : high * 16 + low
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
