import * as fc from 'fast-check'
import { Comparison } from './comparison.ts'
import { Library } from './library.ts'
import { type Parts, rightParts } from './parts.ts'
import { type Program, programs, type Step } from './program.ts'

export interface Search {
  /** Parts of the package to replace by wrong ones. */
  replaced?: Partial<Parts>
  programs: number
  seed: number
  /** Leads to one program again: its place among those of the seed. */
  path?: string | undefined
  /** Called after each program, with the count of its steps. */
  onProgram?: (steps: number) => void
}

/** The shortest program found that the package runs otherwise than the model, and how to run it again. */
export async function findDifference(search: Search): Promise<string | undefined> {
  const { replaced = {}, programs: numRuns, seed, path, onProgram } = search
  const parts = { ...rightParts, ...replaced }
  const property = fc.asyncProperty(programs, fc.scheduler(), async (program, scheduler) => {
    const { steps, difference } = await compare(program, scheduler, parts)
    onProgram?.(steps)
    if (difference !== undefined) throw new Error(difference)
  })
  const parameters = { numRuns, seed, ...(path !== undefined && { path }) }
  const { failed, errorInstance, counterexamplePath } = await quietly(() => fc.check(property, parameters))
  if (!failed) return undefined
  // A path into the shrinking leads to the program, but not to its schedule: it is shrunk again.
  const [place] = String(counterexamplePath).split(':')
  return `${(errorInstance as Error).message}\nrun again by: MODEL_SEED=${seed} MODEL_PATH=${place} npm test -- test/model`
}

interface Outcome {
  readonly steps: number
  readonly difference: string | undefined
}

async function compare(program: Program, scheduler: fc.Scheduler, parts: Parts): Promise<Outcome> {
  const turn = (what: string) => scheduler.schedule(Promise.resolve(), what)
  const comparison = new Comparison()
  const library = new Library(parts, comparison, turn)
  const lookAround = async () => {
    await library.lookAround()
    comparison.seesSnapshots(library.snapshots)
  }
  const goThrough = async (steps: readonly Step[]) => {
    for (const step of steps) {
      await turn('the next step')
      if (comparison.difference !== undefined) return
      await library.do(step)
      await lookAround()
    }
  }
  const all = async () => {
    await Promise.all(program.map(goThrough))
    await library.settled()
    comparison.allHaveEnded()
    await lookAround()
  }
  await scheduler.waitFor(all())
  const { steps, difference } = comparison
  await library.close()
  return { steps, difference }
}

/** Without the reports of late reads, of which there are very many here, each with a search for its place in the code. */
async function quietly<R>(fn: () => R | Promise<R>): Promise<R> {
  const { stackTraceLimit } = Error
  const { error } = console
  Error.stackTraceLimit = 0
  console.error = (...args: unknown[]) => {
    if (!String(args[0]).startsWith('logical-context: late read')) error(...args)
  }
  try {
    return await fn()
  } finally {
    Error.stackTraceLimit = stackTraceLimit
    console.error = error
  }
}
