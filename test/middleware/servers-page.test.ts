import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { measure } from './stages/measure.ts'
import { readServer, writePage } from './stages/page.ts'
import { servers } from './stages/servers.ts'

// The page alone has the expected results. If a cell has changed and stays so, `npm run servers` writes the page again.
const page = readFileSync(new URL('../../docs/servers.md', import.meta.url), 'utf8')
const names = Object.keys(servers)

describe('docs/servers.md', () => {
  it.each(Object.entries(servers))('is what is seen on %s', async (name, serve) => {
    expect(await measure(serve)).toEqual(readServer(page, name))
  })

  it('has no cell without the values of the request', () => {
    const sightings = names.flatMap((name) =>
      Object.values(readServer(page, name) ?? {}).flatMap((stages) => Object.values(stages)),
    )

    expect(sightings.filter((sighting) => sighting !== 'kept')).toEqual([])
    expect(sightings.length).toBeGreaterThan(500)
  })
})

describe('writePage', () => {
  it('writes a page that is read back', () => {
    const seen = { ok: { handler: 'kept', 'response closes': 'lost' }, throws: { handler: 'crossed' } } as const

    const written = writePage(new Map([['a server', seen]]))

    expect(readServer(written, 'a server')).toEqual(seen)
    expect(readServer(written, 'another one')).toBeUndefined()
  })
})
