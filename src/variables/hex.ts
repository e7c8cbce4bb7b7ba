/** Set in the table for an upper-case digit. */
const upperCase = 0x10
const notHex = 0x20
/** The value of a hex digit by its character code. It has a place for each code, so that no look-up is out of range. */
const values: Uint8Array = new Uint8Array(0x10000).fill(notHex)
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16)
  values[digit.toUpperCase().charCodeAt(0)] = value | upperCase
  values[digit.charCodeAt(0)] = value
}

/** Whether a text has `length` lower-case hex digits from `start`, not all zero. */
export function isId(text: string, start: number, length: number): boolean {
  const digits = digitsOf(text, start, length)
  return digits > 0 && digits < upperCase
}

/** Whether a text has `length` lower-case hex digits from `start`. */
export function isHex(text: string, start: number, length: number): boolean {
  return digitsOf(text, start, length) < upperCase
}

/** The value of two lower-case hex digits, or 256 if there are none. */
export function hexByte(text: string, at: number): number {
  return byteBelow(text, at, upperCase)
}

/** The value of two hex digits of either case, or 256 if there are none. */
export function anyCaseHexByte(text: string, at: number): number {
  return byteBelow(text, at, notHex)
}

function byteBelow(text: string, at: number, bound: number): number {
  if (at + 2 > text.length) return 256
  const high = values[text.charCodeAt(at)] as number
  const low = values[text.charCodeAt(at + 1)] as number
  return (high | low) < bound ? (high & 15) * 16 + (low & 15) : 256
}

/** All digits combined by `|`. One branch per digit would double the cost. */
function digitsOf(text: string, start: number, length: number): number {
  const end = start + length
  if (end > text.length) return notHex
  let digits = 0
  for (let i = start; i < end; i++) digits |= values[text.charCodeAt(i)] as number
  return digits
}
