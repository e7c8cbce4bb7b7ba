/** The value of each lower-case hex digit by its character code; of any other character 16, which is no digit's. */
const values = Uint8Array.from({ length: 256 }, (_, code) => {
  const digit = '0123456789abcdef'.indexOf(String.fromCharCode(code))
  return digit === -1 ? 16 : digit
})

/** Whether a text has `length` lower-case hex digits from `start`, not all zero. */
export function isId(text: string, start: number, length: number): boolean {
  const digits = digitsOf(text, start, length)
  return digits > 0 && digits < 16
}

/** Whether a text has `length` lower-case hex digits from `start`. */
export function isHex(text: string, start: number, length: number): boolean {
  return digitsOf(text, start, length) < 16
}

/** The value of a lower-case hex digit, or 16. */
export function hexDigit(text: string, at: number): number {
  return values[text.charCodeAt(at)] ?? 16
}

/** The value of two lower-case hex digits, or more than 255. */
export function hexByte(text: string, at: number): number {
  const high = hexDigit(text, at)
  const low = hexDigit(text, at + 1)
  return high === 16 || low === 16 ? 256 : high * 16 + low
}

/** All digits or'ed, or more than 15. Without a branch a digit, which is twice as fast as to look at its range. */
function digitsOf(text: string, start: number, length: number): number {
  if (start + length > text.length) return 16
  let digits = 0
  let codes = 0
  for (let i = start; i < start + length; i++) {
    const code = text.charCodeAt(i)
    codes |= code
    digits |= values[code] as number
  }
  return codes < 256 ? digits : 16
}
