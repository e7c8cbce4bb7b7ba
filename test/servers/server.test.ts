import { afterEach, describe, expect, it, vi } from 'vitest'
import { findProgram, needs } from './server.ts'

describe('needs', () => {
  afterEach(() => void vi.unstubAllEnvs())

  it('skips the suite of a program that is not installed, and names the command that installs it', () => {
    vi.stubEnv('CI', undefined)

    const program = findProgram('a-server-that-is-not-installed')

    expect(program).toBeUndefined()
    expect(needs(program, 'nats-server')).toEqual({ name: ' (skipped: apt-get install nats-server)', skip: true })
  })

  it.skipIf(process.platform !== 'linux')('fails in CI instead of a skip', () => {
    vi.stubEnv('CI', 'true')

    expect(() => needs(undefined, 'nats-server')).toThrow("CI needs the Debian package 'nats-server'.")
  })

  it('runs the suite of an installed program', () => {
    expect(needs(process.execPath, 'nats-server')).toEqual({ name: '', skip: false })
  })
})
