import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { installFixture } from './fixtures/install.ts'

describe('the types of older packages', () => {
  it('are those that the package needs', { timeout: 180_000 }, () => {
    const folder = installFixture('older-packages')

    const tsc = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', folder], { encoding: 'utf8' })

    expect(tsc.stdout + tsc.stderr).toBe('')
  })
})
