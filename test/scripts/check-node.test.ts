import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { satisfies } from '../../scripts/check-node.js'

const script = fileURLToPath(new URL('../../scripts/check-node.js', import.meta.url))

describe('satisfies', () => {
  it.each<[name: string, version: string, expected: boolean]>([
    ['an old major', 'v20.20.2', false],
    ['one below a floor', 'v22.22.1', false],
    ['a floor', 'v22.22.2', true],
    ['a minor above a floor', 'v22.100.0', true],
    ['an odd major between two ranges', 'v23.11.0', false],
    ['a patch below the second floor', 'v24.14.0', false],
    ['the second range', 'v24.21.0', true],
    ['the open range', 'v26.10.0', true],
    ['a later major', 'v30.0.0', true],
    ['a nightly build', 'v27.0.0-nightly20261101', true],
  ])('judges %s', (_, version, expected) => {
    expect(satisfies(version, '>=22.22.2 <23 || >=24.14.1 <25 || >=26')).toBe(expected)
  })

  it('refuses a range that it does not support', () => {
    expect(() => satisfies('v26.0.0', '^26')).toThrow(/expected '>=1\.2\.3' or '<1\.2\.3', got '\^26'/)
  })
})

describe('check-node.js', () => {
  it('is silent on a Node in the range', () => {
    expect(run({ range: '>=22' })).toEqual({ status: 0, stderr: '' })
  })

  it('prints the version, the range and the remedy if the pinned Node is not installed', () => {
    const { status, stderr } = run({ range: '>=999' })

    expect(status).toBe(1)
    expect(stderr).toContain(`Node ${process.version} is running this, but >=999 is needed.`)
    expect(stderr).toContain("'npm rebuild node --ignore-scripts=false'")
  })

  it('recommends an npm script if the pinned Node is installed', () => {
    const { status, stderr } = run({ range: '>=999', pinned: true })

    expect(status).toBe(1)
    expect(stderr).toContain('run it through an npm script')
  })
})

/** Runs a copy of the script in a package with another range, with or without a pinned Node. */
function run({ range, pinned = false }: { range: string; pinned?: boolean }): {
  status: number | null
  stderr: string
} {
  const folder = mkdtempSync(join(tmpdir(), 'check-node-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  cpSync(script, join(folder, 'scripts/check-node.js'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', engines: { node: range } }))
  if (pinned) {
    mkdirSync(join(folder, 'node_modules/node/bin'), { recursive: true })
    writeFileSync(join(folder, 'node_modules/node/bin/node'), '')
  }
  const { status, stderr } = spawnSync(process.execPath, [join(folder, 'scripts/check-node.js')], { encoding: 'utf8' })
  return { status, stderr }
}
