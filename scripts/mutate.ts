// `npm run mutate -- propagators b3 carrier`: changes the code in small ways, one at a time, and counts the changes that no
// test notices. Without files it mutates the whole room, without a room all rooms: an hour or more. Results are kept in
// .cache, so that a room can be done in parts; `--fresh` drops them.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { rooms } from '../test/mutation/rooms.ts'
import { readScore, type Score, staleReasons } from '../test/mutation/score.ts'

/** The lowest accepted score of a room, in percent. */
const goal = 90
const root = join(import.meta.dirname, '..')
const home = join(root, 'test/mutation')
/** Stryker is large and rarely used, so it is not in the root install. */
const tool = join(root, '.cache/mutation/stryker')
const stryker = join(tool, 'node_modules/@stryker-mutator/core/bin/stryker.js')

const given = process.argv.slice(2)
const fresh = given.includes('--fresh')
const [asked, ...files] = given.filter((argument) => argument !== '--fresh')
if (asked !== undefined && !Object.hasOwn(rooms, asked)) {
  throw new TypeError(`mutate: expected one of ${Object.keys(rooms).join(', ')}, got '${asked}'.`)
}

install()
const scores = (asked === undefined ? Object.keys(rooms) : [asked]).map(mutate)
for (const { unexplained } of scores) for (const survivor of unexplained) console.log(`\n${survivor}`)
const stale = staleReasons((file) => {
  const path = join(root, file)
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
})
for (const reason of stale) console.log(`equivalents.ts has a reason for a function that does not exist: ${reason}`)
if (stale.length > 0 || scores.some(({ percent, unexplained }) => percent < goal || unexplained.length > 0))
  process.exitCode = 1
const unexplained = scores.reduce((total, score) => total + score.unexplained.length, 0)
const explained = scores.reduce((total, score) => total + score.explained, 0)
console.log(`mutation: ${scores.map(print).join(', ')}; survivors: ${explained} explained, ${unexplained} not`)

/** Installs Stryker from the lockfile in test/mutation. It finds vitest in the root install. */
function install(): void {
  if (existsSync(stryker)) return
  mkdirSync(tool, { recursive: true })
  for (const file of ['package.json', 'package-lock.json', '.npmrc']) copyFileSync(join(home, file), join(tool, file))
  const { status } = spawnSync('npm', ['ci'], { cwd: tool, stdio: 'inherit', shell: process.platform === 'win32' })
  if (status !== 0) throw new Error('mutate: the installation of Stryker failed, see above.')
}

function mutate(room: string): Score {
  const report = join(root, `.cache/mutation/${room}.json`)
  if (fresh) rmSync(join(root, `.cache/mutation/${room}.incremental.json`), { force: true })
  rmSync(report, { force: true })
  const only = files.length === 0 ? [] : ['--mutate', files.map((file) => `src/${room}/${file}.ts`).join(',')]
  const { status } = spawnSync(process.execPath, [stryker, 'run', join(home, 'stryker.config.js'), ...only], {
    cwd: root,
    env: { ...process.env, MUTATION_ROOM: room },
    stdio: 'inherit',
  })
  if (status !== 0 || !existsSync(report)) throw new Error(`mutate: Stryker failed in ${room}, see above.`)
  return readScore(room, report)
}

function print({ room, percent, mutants }: Score): string {
  return `${room} ${percent.toFixed(1)} % of ${mutants.toLocaleString('en-US')} killed`
}
