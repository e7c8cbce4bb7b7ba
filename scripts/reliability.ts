// `npm run reliability -- soak memory`: runs the named long forms, by default all, and writes their last lines to the page.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { type Figures, reliabilityPage, type Seen } from './reliability/page.ts'
import { promises } from './reliability/promises.ts'

const figuresFile = new URL('../docs/reliability.json', import.meta.url)
const pageFile = new URL('../docs/reliability.md', import.meta.url)

const known = promises.map(({ command }) => command)
const asked = process.argv.slice(2)
const unknown = asked.filter((command) => !known.includes(command))
if (unknown.length > 0) {
  throw new TypeError(`reliability: expected some of ${known.join(', ')}, got ${unknown.join(', ')}.`)
}

const broken: string[] = []
for (const { command, args = [] } of promises) {
  if (asked.length > 0 && !asked.includes(command)) continue
  const seen = await run(command, args)
  if (seen === undefined) broken.push(command)
  else record(command, seen)
}
if (broken.length > 0) {
  console.error(`These failed, and their figures were not changed: ${broken.join(', ')}.`)
  process.exitCode = 1
}

async function run(command: string, args: readonly string[]): Promise<Seen | undefined> {
  const startedAt = Date.now()
  const child = spawn('npm', ['run', command, '--', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    shell: process.platform === 'win32',
  })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    process.stdout.write(text)
    // Only the last line is used.
    printed = (printed + text).slice(-10_000)
  })
  const [code] = (await once(child, 'close')) as [number | null]
  const figure = printed.trimEnd().split('\n').at(-1) ?? ''
  if (code !== 0 || figure === '') return undefined
  const [{ model } = { model: 'an unknown CPU' }, { length }] = [cpus()[0], cpus()]
  return {
    figure,
    date: new Date().toISOString().slice(0, 10),
    machine: `${length} cores of ${model.trim()}`,
    node: process.versions.node,
    minutes: Math.ceil((Date.now() - startedAt) / 60_000),
  }
}

/** Called after each command, so that an interrupted run keeps its results. */
function record(command: string, seen: Seen): void {
  const figures = { ...(JSON.parse(readFileSync(figuresFile, 'utf8')) as Figures), [command]: seen }
  writeFileSync(figuresFile, `${JSON.stringify(figures, null, 2)}\n`)
  writeFileSync(pageFile, reliabilityPage(figures))
}
