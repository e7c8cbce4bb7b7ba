// `npm run servers`: looks at each stage of the requests of each server, and writes docs/servers.md.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { groups, promisers } from '../test/middleware/stages/groups.ts'
import type { Seen } from '../test/middleware/stages/measure.ts'
import type { Kept } from '../test/middleware/stages/promises.ts'
import { writePage } from '../test/middleware/stages/page.ts'

const seen = new Map<string, Seen>()
for (const { servers } of groups) {
  for (const [name, measure] of Object.entries(servers)) seen.set(name, await measure())
}
const kept = new Map<string, Kept>()
for (const [name, measure] of Object.entries(promisers)) kept.set(name, await measure())
writeFileSync(fileURLToPath(new URL('../docs/servers.md', import.meta.url)), writePage(groups, seen, kept))

const sightings = [...seen.values()].flatMap((server) =>
  Object.values(server).flatMap((stages) => Object.values(stages)),
)
const count = (kind: string) => sightings.filter((sighting) => sighting === kind).length
console.log(
  `servers: ${seen.size} servers, ${count('kept')} cells kept, ${count('lost')} lost, ${count('crossed')} crossed`,
)
