import { marks } from '../matrix/cells.ts'
import type { Sighting } from '../matrix/sightings.ts'
import { readTables, writeTable } from '../matrix/tables.ts'
import type { Group } from './groups.ts'
import type { Seen } from './measure.ts'
import { type Kept, promises } from './promises.ts'

/** The page, of what was seen on each server, and of the promises that it kept, by name. */
export function writePage(
  groups: readonly Group[],
  seen: ReadonlyMap<string, Seen>,
  kept: ReadonlyMap<string, Kept>,
): string {
  return `# Servers

<!-- Written by \`npm run servers\`. \`npm test\` measures each cell again. -->

In which stages of a request are its values seen? Each cell was looked at over real sockets. [Fastify](fastify-matrix.md) has a page of its own. The tests of the module for NestJS run on NestJS 11 and 12.

${writeTable({
  heads: ['cell', 'what it says'],
  rows: [
    [marks.kept, 'the values of the request are seen'],
    [marks.lost, 'nothing is seen: there is no such cell'],
    [marks.crossed, 'the values of another request are seen: there is no such cell'],
    ['', 'such a request does not come here'],
  ],
})}

${groups.map((group) => writeGroup(group, seen)).join('\n\n')}

${promisesTitle}

What the servers of HTTP promise besides, each checked over real sockets. An empty cell: the server has no such option.

${writeTable({
  heads: ['promise', 'what it says', ...kept.keys()],
  rows: promises.map(({ name, about }) => [name, about, ...Array.from(kept.values(), (of) => markOfKept(of[name]))]),
})}
`
}

const promisesTitle = '## Other promises'

/** Which promises a server kept, as the page says; undefined for another server. */
export function readPromises(page: string, name: string): Kept | undefined {
  const [table] = readTables(page.slice(page.indexOf(promisesTitle)))
  const column = table?.heads.indexOf(name) ?? -1
  if (table === undefined || column === -1) return undefined
  const cells = table.rows.map((row) => [row[0] ?? '', row[column] ?? ''] as const)
  return Object.fromEntries(cells.filter(([, mark]) => mark !== '').map(([promise, mark]) => [promise, mark === '✓']))
}

function markOfKept(isKept: boolean | undefined): string {
  if (isKept === undefined) return ''
  return isKept ? marks.kept : marks.lost
}

/** What the page says of a server; undefined for another one. */
export function readServer(page: string, name: string): Seen | undefined {
  const section = page.split(/^### /m).find((text) => text.startsWith(`${name}\n`))
  const [table] = readTables(section ?? '')
  if (table === undefined) return undefined
  const { heads, rows } = table
  const column = (index: number) => {
    const cells = rows.map(([stage = '', ...row]) => [stage, sightingOf(row[index] ?? '')] as const)
    return Object.fromEntries(cells.filter(([, sighting]) => sighting !== undefined))
  }
  return Object.fromEntries(heads.slice(1).map((ending, index) => [ending, column(index)]))
}

function writeGroup({ title, endings, servers }: Group, seen: ReadonlyMap<string, Seen>): string {
  const columns = writeTable({
    heads: ['column', 'what happens'],
    rows: endings.map(({ name, about }) => [name, about]),
  })
  const tables = Object.keys(servers).map((name) => `### ${name}\n\n${writeServer(seen.get(name) ?? {})}`)
  return [`## ${title}`, columns, ...tables].join('\n\n')
}

function writeServer(seen: Seen): string {
  const stages = [...new Set(Object.values(seen).flatMap((stagesSeen) => Object.keys(stagesSeen)))]
  const markOf = (sighting: Sighting | undefined) => (sighting === undefined ? '' : marks[sighting])
  return writeTable({
    heads: ['', ...Object.keys(seen)],
    rows: stages.map((stage) => [stage, ...Object.values(seen).map((stagesSeen) => markOf(stagesSeen[stage]))]),
  })
}

function sightingOf(mark: string): Sighting | undefined {
  return (Object.keys(marks) as Sighting[]).find((sighting) => marks[sighting] === mark)
}
