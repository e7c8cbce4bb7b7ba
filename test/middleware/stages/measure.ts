import type { Sighting } from '../matrix/sightings.ts'
import { dial, endings } from './endings.ts'
import type { Served } from './servers.ts'
import { Visits } from './visits.ts'

/** A column of the page: one way in which a request ends. */
export interface Column {
  readonly name: string
  readonly about: string
}

/** What was seen: by ending, then by stage. */
export type Seen = Readonly<Record<string, Partial<Record<string, Sighting>>>>

/** Sends a request of each ending to a server, over real sockets. */
export async function measure(serve: (visits: Visits) => Promise<Served>): Promise<Seen> {
  const visits = new Visits()
  const { server, close } = await serve(visits)
  const seen: [string, Partial<Record<string, Sighting>>][] = []
  for (const { name, run } of endings) {
    visits.restart()
    const client = await dial(server)
    await run(client, visits, server)
    client.socket.destroy()
    seen.push([name, visits.seen])
  }
  await close()
  return Object.fromEntries(seen)
}
