import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { installFixture } from '../fixtures/install.ts'

const source = '--conditions=logical-context-source'
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
/** On an older Node, jest cannot load a CommonJS package that requires an ES module. */
const runsJest = major > 24 || (major === 24 && minor >= 9)

describe('the testing kit', () => {
  it('runs under node:test', () => {
    const file = fileURLToPath(new URL('runners/node-test.ts', import.meta.url))

    const { stdout } = spawnSync(process.execPath, [source, '--test', '--test-reporter=tap', file], {
      encoding: 'utf8',
    })

    expect(stdout).toMatch(/^# fail 0$/m)
    expect(Number(/^# pass (\d+)$/m.exec(stdout)?.[1])).toBeGreaterThan(20)
  })

  it.skipIf(!runsJest)('runs under jest', { timeout: 180_000 }, () => {
    const folder = installFixture('jest')
    const args = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', '--runInBand', '--json']

    const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' })

    expect(stdout || stderr).toContain('"success":true')
    expect((JSON.parse(stdout) as { numPassedTests: number }).numPassedTests).toBeGreaterThan(10)
  })
})
