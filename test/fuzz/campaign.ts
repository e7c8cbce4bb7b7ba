import { mutate } from './mutate.ts'
import { minimize } from './minimize.ts'
import { Random } from './random.ts'
import type { FuzzTarget } from './target.ts'

/** An input on which a promise was broken. */
export interface Failure {
  input: string
  /** The same with all taken away that does not matter. */
  minimized: string
  error: unknown
}

/** Endless inputs near those of `pool`, to which more may be added on the way. */
export function* inputsOf(target: FuzzTarget, pool: readonly string[], seed: number): Generator<string, never> {
  const random = new Random(seed)
  for (;;) yield mutate(pool, target.tokens, random)
}

/** Checks inputs until one fails. */
export async function checkAll(target: FuzzTarget, inputs: Iterable<string>): Promise<Failure | undefined> {
  for (const input of inputs) {
    let error: unknown
    try {
      const checked = target.check(input)
      // Most are checked at once, and an await costs as much as a check.
      if (checked !== undefined) await checked
      continue
    } catch (failure) {
      error = failure
    }
    const minimized = await minimize(input, async (smaller) => (await failureOf(target, smaller)) !== undefined)
    return { input, minimized, error: (await failureOf(target, minimized)) ?? error }
  }
  return undefined
}

/** A failure for people, with the input that was found. */
export function describeFailure({ name }: FuzzTarget, { input, minimized, error }: Failure): string {
  const found = input === minimized ? '' : `\nfound as ${JSON.stringify(input).slice(0, 500)}`
  return `${name} has failed on ${JSON.stringify(minimized)}: ${String(error)}${found}`
}

/** What is wrong with an input, if anything is. */
async function failureOf(target: FuzzTarget, input: string): Promise<unknown> {
  try {
    await target.check(input)
    return undefined
  } catch (error) {
    return error
  }
}
