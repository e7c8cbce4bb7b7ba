import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const program = `
  import { EventEmitter } from 'node:events'
  import { setTimeout } from 'node:timers/promises'
  const { emit } = EventEmitter.prototype
  const { ContextVar, runInScope } = await import('logical-context')
  const { get } = ContextVar.prototype
  const { watch } = await import('./src/context/watch.ts')
  const exitListeners = process.listenerCount('exit')
  // The environment variable loads the doctor a moment after the package.
  if (process.env.LOGICAL_CONTEXT_DOCTOR === '1') while (watch.current === undefined) await setTimeout(1)
  const user = new ContextVar('user')
  runInScope(() => user.set('secret value'))
  user.get()
  console.log(JSON.stringify({
    installed: [
      watch.current !== undefined,
      EventEmitter.prototype.emit !== emit,
      ContextVar.prototype.get !== get,
      process.listenerCount('exit') !== exitListeners,
    ],
  }))
`

async function run(env: Record<string, string>): Promise<{ installed: boolean[]; stderr: string }> {
  const args = ['--conditions=logical-context-source', '--input-type=module', '--eval', program]
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, {
    env: { ...process.env, NODE_OPTIONS: '', ...env },
  })
  return { ...(JSON.parse(stdout) as { installed: boolean[] }), stderr }
}

describe('the environment variable LOGICAL_CONTEXT_DOCTOR', () => {
  it.each([
    ['not set', {}],
    ['0', { LOGICAL_CONTEXT_DOCTOR: '0' }],
    ['empty', { LOGICAL_CONTEXT_DOCTOR: '' }],
  ])('installs nothing if it is %s', async (_, env) => {
    const { installed, stderr } = await run(env)

    expect(installed).toEqual([false, false, false, false])
    expect(stderr).toBe('')
  })

  it('turns the doctor on, which prints each finding and a summary at the exit, without values', async () => {
    const { installed, stderr } = await run({ LOGICAL_CONTEXT_DOCTOR: '1' })

    expect(installed[0]).toBe(true)
    expect(stderr).toContain("logical-context doctor: read of 'user' outside any unit\n  at ")
    expect(stderr).toContain('Work without a request needs a unit of its own: runInScope(fn).')
    expect(stderr).toContain('node_modules/logical-context/docs/guides/background-tasks.md#run-a-job-without-a-request')
    expect(stderr).toContain('logical-context doctor: the context was lost or swapped in 1 place\n       1 × read of')
    expect(stderr).not.toContain('secret value')
  })
})
