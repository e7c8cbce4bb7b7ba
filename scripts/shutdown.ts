// `npm run shutdown -- 20`: closes a server under load 20 times, at random moments, and counts the lost orders. A control, a
// server whose tasks have no owner, must lose some.
import { type Round, runRound } from './shutdown-round.ts'

const rounds = Number(process.argv[2] ?? 20)
/** Every fifth round has a limit that is too small: the rest must be reported. */
const shortEvery = 5

type Row = Pick<Round, 'acknowledged' | 'finished' | 'reported' | 'lost' | 'refused'>
const table: (Row & Record<string, number | null>)[] = []
let failed = 0
for (let round = 1; round <= rounds; round++) {
  const short = round % shortEvery === 0
  const drainTimeoutMs = short ? 50 : 8000
  const termAfter = 1 + Math.floor(Math.random() * (short ? 50 : 1000))
  const { closeMs, exitCode, ...counts } = await runRound({ drainTimeoutMs, termAfter, taskMs: short ? 1000 : 100 })
  table.push({ limitMs: drainTimeoutMs, termAfter, ...counts, closeMs: Math.round(closeMs), exitCode })
  if (counts.lost > 0 || counts.reported > 0 !== short || exitCode !== (short ? 1 : 0)) failed++
}

const control = await runRound({ drainTimeoutMs: 8000, termAfter: 200, taskMs: 100, unowned: true })

console.table(table)
const sum = (column: keyof Row) => table.reduce((total, row) => total + row[column], 0)
console.log(
  `shutdown: ${rounds} rounds, ${sum('acknowledged')} acknowledged, ${sum('finished')} finished, ` +
    `${sum('reported')} reported as unfinished, ${sum('lost')} lost; the control lost ${control.lost} of ${control.acknowledged}`,
)
if (failed > 0) {
  console.error(`${failed} rounds failed: an order was lost, or the exit code was wrong.`)
  process.exitCode = 1
}
if (control.lost === 0) {
  console.error('The control lost nothing, so these rounds cannot fail.')
  process.exitCode = 1
}
