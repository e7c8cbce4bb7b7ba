import * as fc from 'fast-check'
import { expect } from 'vitest'

/** How many schedules each property tries. */
export const schedules = 10_000

/** The same ones each time: chance does not decide what lands. Another seed in the environment tries others. */
const seed = Number(process.env['SCHEDULE_SEED'] ?? 1)

/**
 * Tries a property with many programs, each under an order of events of its own, and no rejection left unhandled.
 *
 * @throws with the program, its schedule and the seed, for the first that fails
 */
export async function checkSchedules<P>(
  program: fc.Arbitrary<P>,
  holds: (program: P, scheduler: fc.Scheduler) => Promise<void>,
): Promise<void> {
  console.log(`${schedules} schedules, SCHEDULE_SEED=${seed}`)
  const unhandled: unknown[] = []
  const onUnhandled = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', onUnhandled)
  const property = fc.asyncProperty(program, fc.scheduler(), holds)
  await fc.assert(property, { numRuns: schedules, seed })
  process.off('unhandledRejection', onUnhandled)
  expect(unhandled).toEqual([])
}
