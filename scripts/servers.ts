// `npm run servers`: looks at each stage of the requests of each server, and writes docs/servers.md.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { measure, type Seen } from '../test/middleware/stages/measure.ts'
import { writePage } from '../test/middleware/stages/page.ts'
import { servers } from '../test/middleware/stages/servers.ts'

const seen = new Map<string, Seen>()
for (const [name, serve] of Object.entries(servers)) seen.set(name, await measure(serve))
writeFileSync(fileURLToPath(new URL('../docs/servers.md', import.meta.url)), writePage(seen))

const sightings = [...seen.values()].flatMap((server) =>
  Object.values(server).flatMap((stages) => Object.values(stages)),
)
const count = (kind: string) => sightings.filter((sighting) => sighting === kind).length
console.log(
  `servers: ${seen.size} servers, ${count('kept')} cells kept, ${count('lost')} lost, ${count('crossed')} crossed`,
)
