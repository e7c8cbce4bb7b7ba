// `npm run prove -- --programs=100000 --seed=1 --minutes=10`: runs random programs in the package and in the model of its
// rules in test/model. Without a seed each run tries other programs. It ends at the count, at the time, or at the first
// difference, and prints the shortest program with that difference.
import { parseArgs } from 'node:util'
import { findDifference } from '../test/model/search.ts'

const { values } = parseArgs({
  options: { programs: { type: 'string' }, seed: { type: 'string' }, minutes: { type: 'string' } },
})
const programs = numberOf('programs', 100_000)
const seed = numberOf('seed', Math.trunc(Math.random() * 2 ** 31))
const endsAt = Date.now() + numberOf('minutes', Infinity) * 60_000
/** Each batch has its own seed, and prints a line. */
const batch = 5000

let [tried, steps] = [0, 0]
let difference: string | undefined
console.log(`${count(programs)} programs from seed ${seed} on`)
for (let i = 0; tried < programs && difference === undefined && Date.now() < endsAt; i++) {
  difference = await findDifference({
    programs: Math.min(batch, programs - tried),
    seed: seed + i,
    onProgram(more) {
      tried++
      steps += more
    },
  })
  console.log(`${count(tried)} programs, ${count(steps)} steps`)
}
if (difference !== undefined) {
  console.error(difference)
  process.exitCode = 1
}
console.log(`prove: ${count(tried)} programs, ${count(steps)} steps, ${difference === undefined ? 0 : 1} differences`)

function numberOf(name: keyof typeof values, otherwise: number): number {
  const given = values[name]
  if (given === undefined) return otherwise
  const number = Number(given)
  if (given.trim() !== '' && Number.isFinite(number) && number >= 0) return number
  throw new TypeError(`prove: expected a number for --${name}, got '${given}'.`)
}

function count(number: number): string {
  return number.toLocaleString('en-US')
}
