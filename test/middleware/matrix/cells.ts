import type { Sighting } from './sightings.ts'

/** What was seen at one place in one kind of request, by the name of the runtime; undefined where it was not reached. */
export type Cell = ReadonlyMap<string, Sighting | undefined>

export const marks: Readonly<Record<Sighting, string>> = { kept: '✓', lost: '✗', crossed: '✗✗' }
/** Written only where another runtime does reach the place. */
const notReached = '–'

/** The result of most runtimes, followed by the runtimes with another result. */
export function writeCell(cell: Cell, emphasized = false): string {
  const byMark = Map.groupBy(cell, ([, sighting]) => (sighting === undefined ? notReached : marks[sighting]))
  const [most, ...others] = [...byMark].toSorted(([, left], [, right]) => right.length - left.length)
  const mark = most?.[0] ?? notReached
  if (mark === notReached && others.length === 0) return ''
  const exceptions = others.flatMap(([other, runtimes]) => runtimes.map(([runtime]) => `${runtime} ${other}`))
  return [emphasized ? `**${mark}**` : mark, ...exceptions].join(' ')
}

/** What a cell says of a runtime. */
export function readCell(text: string, runtime: string): Sighting | undefined {
  const [most = notReached, ...exceptions] = text.replaceAll('*', '').split(' ')
  const exception = exceptions.indexOf(runtime)
  const mark = exception === -1 ? most : exceptions[exception + 1]
  return (Object.keys(marks) as Sighting[]).find((sighting) => marks[sighting] === mark)
}
