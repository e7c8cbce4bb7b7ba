import { type GrowthSide, ours, type Role, type Work } from '../harness/row.ts'

/** The points of one curve. Targets are judged by the last point of our curve. */
export function atSizes(
  sizes: readonly number[],
  line: string,
  role: Role,
  setup: (size: number) => Work | Promise<Work>,
): GrowthSide[] {
  return sizes.map((size) => ({
    name: pointOf(line, size),
    role: role !== 'ours' || (line === ours && size === sizes.at(-1)) ? role : 'reference',
    line,
    size,
    setup: () => setup(size),
  }))
}

/** The name of a point of a curve. */
export function pointOf(line: string, size: number): string {
  return `${line} at ${size}`
}
