// `npm run fastify-matrix`: checks every hook and event on all runtimes, and writes docs/fastify-matrix.md.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Measured, RecipeName } from '../test/middleware/matrix/measure.ts'
import { majorOf, writePage } from '../test/middleware/matrix/page.ts'
import { whyLost } from '../test/middleware/matrix/places.ts'
import { mechanisms, type Run, runOn } from '../test/middleware/matrix/runtime.ts'
import type { Sighting } from '../test/middleware/matrix/sightings.ts'
import { nodes, runtimePath } from './runtimes.ts'

const runs: Run[] = []
for (const name of nodes) {
  const path = runtimePath(name)
  const node = spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout
  for (const mechanism of mechanisms) runs.push(await runOn(path, majorOf(node), mechanism))
}
writeFileSync(fileURLToPath(new URL('../docs/fastify-matrix.md', import.meta.url)), writePage(runs))

const recipes = ['logical-context', 'bare run'] as const
const rows = runs.flatMap(({ node, mechanism, measured }) =>
  recipes.map((recipe) => ({ node, mechanism, recipe, ...countCells(measured[recipe]) })),
)
console.table(rows)

const sum = (recipe: RecipeName, sighting: Sighting) =>
  rows.reduce((total, row) => total + (row.recipe === recipe ? row[sighting] : 0), 0)
const unexplained = runs
  .flatMap(({ measured }) => Object.values(measured['logical-context']).flatMap((seen) => Object.entries(seen)))
  .filter(([place, sighting]) => sighting === 'crossed' || (sighting === 'lost' && !(place in whyLost)))
console.log(
  `fastify-matrix: ${runs.length} runtimes, ${sum('logical-context', 'kept')} cells kept, ` +
    `${sum('logical-context', 'lost')} lost, ${unexplained.length} without a reason, ` +
    `${sum('logical-context', 'crossed')} crossed; als.run alone: ${sum('bare run', 'kept')} kept, ` +
    `${sum('bare run', 'lost')} lost, ${sum('bare run', 'crossed')} crossed`,
)
if (unexplained.length > 0) process.exitCode = 1

function countCells(measured: Measured): Record<Sighting, number> {
  const counts = { kept: 0, lost: 0, crossed: 0 }
  for (const seen of Object.values(measured)) for (const sighting of Object.values(seen)) counts[sighting]++
  return counts
}
