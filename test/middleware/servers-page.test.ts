import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { groups, promisers } from './stages/groups.ts'
import { readPromises, readServer, writePage } from './stages/page.ts'

// The page alone has the expected results. If a cell has changed and stays so, `npm run servers` writes the page again.
const page = readFileSync(new URL('../../docs/servers.md', import.meta.url), 'utf8')
const servers = groups.flatMap((group) => Object.entries(group.servers))

describe('docs/servers.md', () => {
  it.each(servers)('is what is seen on %s', async (name, measure) => {
    expect(await measure()).toEqual(readServer(page, name))
  })

  it.each(Object.entries(promisers))('has the promises that are kept by %s', async (name, measure) => {
    const kept = await measure()

    expect(kept).toEqual(readPromises(page, name))
    expect(Object.values(kept)).not.toContain(false)
  })

  it('has no cell without the values of the request', () => {
    const sightings = servers.flatMap(([name]) =>
      Object.values(readServer(page, name) ?? {}).flatMap((stages) => Object.values(stages)),
    )

    expect(sightings.filter((sighting) => sighting !== 'kept')).toEqual([])
    expect(sightings.length).toBeGreaterThan(600)
  })
})

describe('writePage', () => {
  it('writes a page that is read back', () => {
    const seen = { ok: { handler: 'kept', 'response closes': 'lost' }, throws: { handler: 'crossed' } } as const
    const group = {
      title: 'Requests',
      endings: [{ name: 'ok', about: 'All is well.' }],
      servers: { a: async () => seen },
    }

    const kept = { idle: true, trust: false }
    const written = writePage([group], new Map([['a', seen]]), new Map([['a', kept]]))

    expect(readServer(written, 'a')).toEqual(seen)
    expect(readServer(written, 'b')).toBeUndefined()
    expect(readPromises(written, 'a')).toEqual(kept)
    expect(readPromises(written, 'b')).toBeUndefined()
  })
})
