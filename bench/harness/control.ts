import { baseOf, type Figure, type Role, type Row } from './row.ts'
import { Samples } from './samples.ts'
import { ratioOf } from './statistics.ts'

/** How far two sides with the same code may differ. With a larger difference, the figures of a row are not written. */
export const largestError = 0.05
/** How many times a row is measured at most. */
const attempts = 3

const controlFigure: Readonly<Record<Exclude<Row['kind'], 'growth'>, Figure>> = {
  micro: 'ns',
  fastify: 'CPU µs',
  memory: 'bytes',
}

/** Adds the base of a row once more, in a process of its own. Its ratio to the base is the error of the measurement. */
export function withControl<R extends Row>(row: R): R {
  if (row.kind === 'growth') return row
  const sides: readonly { name: string; role: Role }[] = row.sides
  const base = sides.find(({ name }) => name === baseOf(row))
  return { ...row, sides: [...sides, { ...base, name: controlOf(row), role: 'reference' }] }
}

function controlOf(row: Row): string {
  return `${baseOf(row)}, once more`
}

/** The ratio between the two sides with the same code, minus one. */
export function errorOf(row: Row, samples: Samples): number {
  if (row.kind === 'growth') return 0
  const figure = controlFigure[row.kind]
  return ratioOf(samples.of(controlOf(row), figure), samples.of(baseOf(row), figure)).median - 1
}

/** Measures a row until the two sides with the same code agree, at most a few times. All samples count. */
export async function measureUntilSteady(row: Row, measure: () => Promise<Samples>): Promise<Samples> {
  const samples = new Samples()
  for (let attempt = 0; attempt < attempts; attempt++) {
    samples.addAll(await measure())
    if (isSteady(row, samples)) break
  }
  return samples
}

/** Whether the two sides with the same code agree. */
export function isSteady(row: Row, samples: Samples): boolean {
  return Math.abs(errorOf(row, samples)) <= largestError
}
