/** The lines of an input as headers: a name, a colon and a value, with nothing taken away but one blank. */
export function linesOf(input: string): [name: string, value: string][] {
  return input.split('\n').map((line) => {
    const colon = line.indexOf(':')
    if (colon === -1) return [line, '']
    return [line.slice(0, colon), line.slice(line.charCodeAt(colon + 1) === 0x20 ? colon + 2 : colon + 1)]
  })
}
