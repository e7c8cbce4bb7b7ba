import { marks } from '../matrix/cells.ts'
import type { Sighting } from '../matrix/sightings.ts'
import { readTables, writeTable } from '../matrix/tables.ts'
import type { Group } from './groups.ts'
import type { Seen } from './measure.ts'

/** The page, of what was seen on each server, by name. */
export function writePage(groups: readonly Group[], seen: ReadonlyMap<string, Seen>): string {
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
`
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
