// `npm run mutate -- propagators b3 carrier`: breaks the code in small ways, one after the other, and counts how often
// no test notices. Without files it takes the whole room, without a room all of them: an hour or more. What was found
// out is kept in .cache, so a room can be done in parts; `--fresh` forgets it.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { rooms } from '../test/mutation/rooms.ts'
import { readScore, type Score } from '../test/mutation/score.ts'

/** What a room has to reach, in percent. */
const goal = 90
const root = join(import.meta.dirname, '..')
const home = join(root, 'test/mutation')
/** Stryker is no part of the root install, for it is heavy and few need it. */
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
if (scores.some(({ percent, unexplained }) => percent < goal || unexplained.length > 0)) process.exitCode = 1
const unexplained = scores.reduce((total, score) => total + score.unexplained.length, 0)
const explained = scores.reduce((total, score) => total + score.explained, 0)
console.log(`mutation: ${scores.map(print).join(', ')}; survivors: ${explained} explained, ${unexplained} not`)

/** From the lockfile in test/mutation; vitest it finds in the root install, above it. */
function install(): void {
  if (existsSync(stryker)) return
  mkdirSync(tool, { recursive: true })
  for (const file of ['package.json', 'package-lock.json', '.npmrc']) copyFileSync(join(home, file), join(tool, file))
  const { status } = spawnSync('npm', ['ci'], { cwd: tool, stdio: 'inherit', shell: process.platform === 'win32' })
  if (status !== 0) throw new Error('mutate: Stryker could not be installed, see above.')
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
  if (status !== 0 || !existsSync(report)) throw new Error(`mutate: Stryker has failed in ${room}, see above.`)
  return readScore(room, report)
}

function print({ room, percent, mutants }: Score): string {
  return `${room} ${percent.toFixed(1)} % of ${mutants.toLocaleString('en-US')} killed`
}
