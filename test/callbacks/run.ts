// Uses each option with each misbehaviour, and prints what happened. It is a process, because a failure may end it.
import { setImmediate as turn } from 'node:timers/promises'
import { misbehaviours } from './misbehaviours.ts'
import { functionOptions, useAgain } from './options.ts'
import { Reports } from './reports.ts'

/** What happened with one option and one misbehaviour. */
export interface Outcome {
  readonly option: string
  readonly misbehaviour: string
  /** `worked`, `refused` at the registration, or how the program around the function failed. */
  readonly program: string
  /** Errors that would have ended the process. */
  readonly uncaught: readonly string[]
  /** What the log and stderr got, one string for each call. */
  readonly lines: readonly string[]
}

const only = process.argv[2]
let uncaught: string[] = []
process.on('uncaughtException', (error) => uncaught.push(text(error)))
process.on('unhandledRejection', (error) => uncaught.push(text(error)))

const outcomes: Outcome[] = []
for (const option of functionOptions) {
  if (only !== undefined && option.name !== only) continue
  for (const misbehaviour of misbehaviours) {
    uncaught = []
    const reports = new Reports()
    const fn = misbehaviour.make(useAgain) as () => never
    const program = await Promise.resolve()
      .then(() => option.use(fn, reports))
      .then(
        () => 'worked',
        (error: unknown) => (isRefusal(error) ? 'refused' : text(error)),
      )
    for (let i = 0; i < 3; i++) await turn()
    reports.stop()
    // The limit of time for an earlier `onError`.
    const lines = reports.lines.filter((line) => !line.includes('did not settle within'))
    outcomes.push({ option: option.name, misbehaviour: misbehaviour.name, program, uncaught, lines })
  }
}
process.stdout.write(JSON.stringify(outcomes), () => process.exit())

function isRefusal(error: unknown): boolean {
  return error instanceof TypeError && /expected .*a synchronous function/.test(error.message)
}

function text(error: unknown): string {
  return error instanceof Error
    ? (error.stack ?? error.message).split('\n').slice(0, 2).join(' ')
    : `threw ${typeof error}`
}
