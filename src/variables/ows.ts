/**
 * The part of a text between two places without the optional whitespace around it, which is space and tab only: no
 * `trim()`, which also takes NBSP, VT, LF and BOM. RFC 9110, 5.6.3
 */
export function trimOws(text: string, start: number = 0, end: number = text.length): string {
  let from = start
  let to = end
  while (from < to && isOws(text.charCodeAt(from))) from++
  while (to > from && isOws(text.charCodeAt(to - 1))) to--
  return from === 0 && to === text.length ? text : text.slice(from, to)
}

function isOws(code: number): boolean {
  return code === 0x20 || code === 0x09
}
