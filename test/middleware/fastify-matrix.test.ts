import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Cell, readCell, writeCell } from './matrix/cells.ts'
import { allEndings } from './matrix/endings.ts'
import type { Measured, RecipeName } from './matrix/measure.ts'
import { majorOf, readPage, runtimeName, writePage } from './matrix/page.ts'
import { allPlaces, type Place, whyLost } from './matrix/places.ts'
import { mechanisms, type Run, runOn } from './matrix/runtime.ts'
import type { Sighting } from './matrix/sightings.ts'

// The page alone has the expected results. If a cell has changed and stays so, `npm run fastify-matrix` writes
// the page again.
const page = readFileSync(new URL('../../docs/fastify-matrix.md', import.meta.url), 'utf8')
const node = process.version

describe.each(mechanisms)(`docs/fastify-matrix.md, on Node ${majorOf(node)} over %s`, (mechanism) => {
  const expected = readPage(page, runtimeName({ node, mechanism }))
  let run: Run
  beforeAll(async () => {
    run = await runOn(process.execPath, majorOf(node), mechanism)
  }, 120_000)

  it('has a column for this runtime', () => {
    expect(expected).toBeDefined()
  })

  describe.each(allEndings)('$name', ({ name: ending }) => {
    const reached = Object.entries(expected?.['logical-context'][ending] ?? {})

    it.each(reached)('%s: %s', (place, sighting) => {
      expect(run.measured['logical-context'][ending]?.[place as Place]).toBe(sighting)
    })

    it('comes nowhere else', () => {
      const seen = Object.keys(run.measured['logical-context'][ending] ?? {})

      expect(seen.toSorted()).toEqual(reached.map(([place]) => place).toSorted())
    })

    it('loses with als.run alone what the page shows', () => {
      const losses = (measured: Measured | undefined) =>
        Object.entries(measured?.[ending] ?? {}).filter(([, sighting]) => sighting !== 'kept')

      expect(Object.fromEntries(losses(run.measured['bare run']))).toEqual(
        Object.fromEntries(losses(expected?.['bare run'])),
      )
    })
  })
})

describe('the page of the Fastify matrix', () => {
  const cells = (recipe: RecipeName) =>
    Object.values(readPage(page, '26/AsyncContextFrame')?.[recipe] ?? {}).flatMap((seen) => Object.entries(seen))

  it('has a row for each place that anything comes to', () => {
    expect([...new Set(cells('logical-context').map(([place]) => place))].toSorted()).toEqual(allPlaces.toSorted())
  })

  it('has a reason for each place where something is lost, and for no other', () => {
    const lost = cells('logical-context').filter(([, sighting]) => sighting !== 'kept')

    expect([...new Set(lost.map(([place]) => place))].toSorted()).toEqual(Object.keys(whyLost).toSorted())
  })

  it('finds the values that a plain als.run leaks into another request: the checks can fail', () => {
    expect(cells('bare run').filter(([, sighting]) => sighting === 'crossed').length).toBeGreaterThan(0)
    expect(cells('logical-context').filter(([, sighting]) => sighting === 'crossed')).toEqual([])
  })
})

describe('writePage', () => {
  const runOf = (version: string, seen: Partial<Record<Place, Sighting>>): Run => ({
    node: version,
    mechanism: 'async_hooks',
    fastify: '5.0.0',
    measured: { 'logical-context': { ok: seen }, 'bare run': { ok: seen } },
  })

  it('marks where runtimes differ, and is read back for each of them', () => {
    const runs = [
      runOf('v22.1.0', { onSend: 'lost', handler: 'kept' }),
      runOf('v24.1.0', { onSend: 'kept', onError: 'crossed' }),
      runOf('v26.1.0', { onSend: 'kept' }),
    ]

    const written = writePage(runs)

    expect(written).toContain('| **✓** 22/async_hooks ✗ |')
    for (const { node, mechanism, measured } of runs) {
      expect(readPage(written, runtimeName({ node, mechanism }))?.['logical-context']['ok']).toEqual(
        measured['logical-context']['ok'],
      )
    }
    expect(readPage(written, '28/async_hooks')).toBeUndefined()
  })

  it.each<[string, Cell, string]>([
    ['one that no code reaches', new Map([['a', undefined]]), ''],
    [
      'one that all see',
      new Map([
        ['a', 'kept'],
        ['b', 'kept'],
      ]),
      '✓',
    ],
    [
      'one that a runtime reaches',
      new Map([
        ['a', undefined],
        ['b', undefined],
        ['c', 'lost'],
      ]),
      '– c ✗',
    ],
    [
      'one that two see otherwise',
      new Map([
        ['a', 'kept'],
        ['b', 'kept'],
        ['c', 'lost'],
        ['d', 'crossed'],
      ]),
      '✓ c ✗ d ✗✗',
    ],
  ])('writes a cell that can be read again: %s', (_name, cell, text) => {
    expect(writeCell(cell)).toBe(text)
    for (const [runtime, sighting] of cell) expect(readCell(text, runtime)).toBe(sighting)
    for (const [runtime, sighting] of cell) expect(readCell(writeCell(cell, true), runtime)).toBe(sighting)
  })
})
