const notHex = 16
/** The value of a lower-case hex digit by its character code. As long as there are codes: no look-up is out of range. */
const values: Uint8Array = new Uint8Array(0x10000).fill(notHex)
for (let value = 0; value < 16; value++) values[value.toString(16).charCodeAt(0)] = value

/** Whether a text has `length` lower-case hex digits from `start`, not all zero. */
export function isId(text: string, start: number, length: number): boolean {
  const digits = digitsOf(text, start, length)
  return digits > 0 && digits < notHex
}

/** Whether a text has `length` lower-case hex digits from `start`. */
export function isHex(text: string, start: number, length: number): boolean {
  return digitsOf(text, start, length) < notHex
}

/** The value of two lower-case hex digits, or more than 255. */
export function hexByte(text: string, at: number): number {
  if (at + 2 > text.length) return 256
  const high = values[text.charCodeAt(at)] as number
  const low = values[text.charCodeAt(at + 1)] as number
  return high === notHex || low === notHex ? 256 : high * 16 + low
}

/** All digits or'ed, or 16 and more. Without a branch a digit: half the cost of looking at each one's range. */
function digitsOf(text: string, start: number, length: number): number {
  const end = start + length
  if (end > text.length) return notHex
  let digits = 0
  for (let i = start; i < end; i++) digits |= values[text.charCodeAt(i)] as number
  return digits
}
