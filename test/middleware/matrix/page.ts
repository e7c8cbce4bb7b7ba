import { marks, readCell, writeCell } from './cells.ts'
import { endings } from './endings.ts'
import type { Measured, RecipeName } from './measure.ts'
import { allPlaces, type Place, places, whyLost } from './places.ts'
import type { Mechanism, Run } from './runtime.ts'
import { readTables, writeTable } from './tables.ts'

const titles: Readonly<Record<RecipeName, string>> = {
  'logical-context': 'With logical-context',
  'bare run': 'With `als.run` in `onRequest` alone',
}

/** What a runtime is called in a cell. */
export function runtimeName({ node, mechanism }: { node: string; mechanism: Mechanism }): string {
  return `${majorOf(node)}/${mechanism}`
}

export function majorOf(node: string): number {
  return Number(/^v(\d+)/.exec(node)?.[1])
}

/** The page, of one run on each runtime. */
export function writePage(runs: readonly Run[]): string {
  const isLostBare = (place: Place) =>
    runs.some(({ measured }) => Object.values(measured['bare run']).some((seen) => isLost(seen[place])))
  return `# Fastify matrix

<!-- Written by \`npm run fastify-matrix\`. \`npm test\` compares each cell with what is seen on the Node that runs it. -->

In which hooks and events are the values of a request seen? Each cell of these tables was looked at over real sockets, on Fastify ${[...new Set(runs.map(({ fastify }) => fastify))].join(', ')}. On the same connection there was another request before, whose values would show if anything of it were left there.

${writeTable({
  heads: ['cell', 'what it says'],
  rows: [
    [marks.kept, 'the values of the request are seen'],
    [`**${marks.kept}**`, 'they are seen, and would not be with `als.run` in `onRequest` alone'],
    [marks.lost, 'nothing is seen'],
    [marks.crossed, 'the values of another request are seen'],
    ['', 'such a request does not come here'],
  ],
})}

The runtimes differ ${runsDiffer(runs) ? 'in some cells: these name the runtime after the mark of all others' : 'in no cell'}.

${writeTable({
  heads: ['runtime', 'Node', 'mechanism of `AsyncLocalStorage`'],
  rows: runs.map((run) => [runtimeName(run), run.node.slice(1), run.mechanism]),
})}

## How requests end

${writeTable({ heads: ['column', 'what happens'], rows: Object.values(endings).flatMap((group) => group.map(({ name, about }) => [name, about])) })}

## ${titles['logical-context']}

${writeRecipe(runs, 'logical-context', allPlaces)}

### What is lost, and why

${writeTable({ heads: ['place', 'why'], rows: Object.entries(whyLost) })}

## ${titles['bare run']}

What one would write by hand. Only the places are shown where something is lost.

${writeRecipe(runs, 'bare run', allPlaces.filter(isLostBare))}
`
}

/** What a page says of a runtime; undefined if it has no such column. */
export function readPage(page: string, runtime: string): Record<RecipeName, Measured> | undefined {
  const known = readTables(page).some(
    ({ heads, rows }) => heads[0] === 'runtime' && rows.some(([name]) => name === runtime),
  )
  if (!known) return undefined
  const sections = page.split(/^## /m)
  const read = (recipe: RecipeName) =>
    readRecipe(sections.find((section) => section.startsWith(titles[recipe])) ?? '', runtime)
  return { 'logical-context': read('logical-context'), 'bare run': read('bare run') }
}

function writeRecipe(runs: readonly Run[], recipe: RecipeName, shown: readonly Place[]): string {
  return Object.entries(endings)
    .map(([title, group]) => {
      const row = (place: Place) => group.map(({ name }) => writeSeen(runs, recipe, name, place))
      const rows = Object.entries(places).flatMap(([heading, inside]) => {
        const filled = inside
          .filter((place) => shown.includes(place))
          .map((place) => [place, ...row(place)])
          .filter(([, ...cells]) => cells.some((cell) => cell !== ''))
        return filled.length === 0 ? [] : [[`_${heading}_`], ...filled]
      })
      return `### ${title}\n\n${writeTable({ heads: ['', ...group.map(({ name }) => name)], rows })}`
    })
    .join('\n\n')
}

function writeSeen(runs: readonly Run[], recipe: RecipeName, ending: string, place: Place): string {
  const cellOf = (name: RecipeName) =>
    new Map(runs.map((run) => [runtimeName(run), run.measured[name][ending]?.[place]]))
  const isRescued = recipe === 'logical-context' && [...cellOf('bare run').values()].some(isLost)
  const cell = cellOf(recipe)
  return writeCell(cell, isRescued && [...cell.values()].includes('kept'))
}

function readRecipe(section: string, runtime: string): Measured {
  const read: Measured = {}
  for (const { heads, rows } of readTables(section)) {
    // The tables of a recipe have no head above the places.
    if (heads[0] !== '') continue
    for (const [column, ending] of heads.entries()) {
      if (column === 0) continue
      const cells = rows.map(([place, ...cells]) => [place, readCell(cells[column - 1] ?? '', runtime)])
      read[ending] = Object.fromEntries(cells.filter(([, sighting]) => sighting !== undefined))
    }
  }
  return read
}

function runsDiffer(runs: readonly Run[]): boolean {
  return new Set(runs.map(({ measured }) => JSON.stringify(measured))).size > 1
}

function isLost(sighting: unknown): boolean {
  return sighting === 'lost' || sighting === 'crossed'
}
