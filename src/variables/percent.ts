import { copyText } from './header-text.ts'
import { anyCaseHexByte } from './hex.ts'

const percent = 0x25
/** The bytes of the text that is being decoded. */
let scratch: Buffer = Buffer.allocUnsafeSlow(4096)
/** `%00` to `%ff`, in upper case. RFC 3986, 2.1 */
const escapes: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
)

/**
 * Decodes the `%xx` of an ASCII text as UTF-8. Bytes that are not UTF-8 become U+FFFD, and a `%` without two hex digits
 * stays. Never throws; the cost is linear. The result does not retain `text`. W3C Baggage, 3.3.1.3
 */
export function percentDecode(text: string): string {
  if (!text.includes('%')) return copyText(text)
  if (scratch.length < text.length) scratch = Buffer.allocUnsafeSlow(text.length)
  let length = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    const byte = code === percent ? anyCaseHexByte(text, i + 1) : 256
    scratch[length++] = byte > 255 ? code : byte
    if (byte <= 255) i += 2
  }
  return scratch.toString('utf8', 0, length)
}

/** Encodes each byte that `isPlain` rejects as `%xx`, and each `%`. A lone surrogate becomes U+FFFD. */
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
