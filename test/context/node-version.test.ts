import * as crypto from 'node:crypto'
import { describe, expect, it, vi } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }
import { checkNode, supportedNodes } from '../../src/context/storage.ts'
import { runProgram } from '../flow/run-script.ts'

const check = (version: string, versions: object = { node: version.slice(1) }) =>
  checkNode({ version, versions: versions as NodeJS.ProcessVersions })

describe('checkNode', () => {
  it('has the range of package.json', () => {
    expect(supportedNodes).toBe(manifest.engines.node)
  })

  it.each(['v22.22.2', 'v22.100.0', 'v24.14.1', 'v24.21.0', 'v26.0.0', 'v30.1.2', 'v27.0.0-nightly20261101'])(
    'accepts %s',
    (version) => {
      const warn = vi.spyOn(process, 'emitWarning').mockReturnValue()

      check(version)

      expect(warn).not.toHaveBeenCalled()
      warn.mockRestore()
    },
  )

  it.each(['v12.0.0', 'v18.20.8', 'v20.20.2', 'v21.7.3'])('throws one sentence on %s', (version) => {
    expect(() => check(version)).toThrow(
      `logical-context supports Node ${manifest.engines.node}, and this is Node ${version}: install a supported version.`,
    )
  })

  it.each(['v22.22.1', 'v22.9.9', 'v23.11.0', 'v24.14.0', 'v25.9.0'])('warns on %s', (version) => {
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue()

    check(version)

    expect(warn.mock.calls).toEqual([[expect.stringContaining(`, and this is Node ${version}: install`)]])
    warn.mockRestore()
  })

  it.each(['bun', 'deno'])('does not check %s', (runtime) => {
    expect(() => check('v20.0.0', { node: '20.0.0', [runtime]: '1.0.0' })).not.toThrow()
  })
})

describe('an import of the package on an old Node', () => {
  const old = `data:text/javascript,Object.defineProperty(process, 'version', { value: 'v20.20.2' })`

  it.each([
    "await import('logical-context')",
    "await import('logical-context/middleware/fastify')",
    "await import('logical-context/propagators')",
    "process.getBuiltinModule('module').createRequire(process.cwd() + '/x.js')('logical-context')",
  ])('fails with one sentence: %s', async (load) => {
    const { code, stderr } = await runProgram(['--import', old, '--input-type=module', '--eval', load])

    expect(code).toBe(1)
    expect(stderr).toMatch(/^Error: logical-context supports Node .* and this is Node v20\.20\.2: install/m)
  })

  // A named import that is missing fails before any module runs.
  it('fails with that sentence where `node:crypto` has no `hash`', async () => {
    const names = Object.keys(crypto).filter((name) => name !== 'hash' && name !== 'default')
    const source = `const { ${names.join(', ')} } = process.getBuiltinModule('crypto')\nexport { ${names.join(', ')} }`
    const url = `data:text/javascript;base64,${Buffer.from(source).toString('base64')}`
    const withoutHash = `
      process.getBuiltinModule('module').registerHooks({
        resolve: (specifier, context, next) => specifier === 'node:crypto' ? { url: '${url}', shortCircuit: true } : next(specifier, context)
      })`
    const hooks = `data:text/javascript;base64,${Buffer.from(withoutHash).toString('base64')}`
    const load = "await import('logical-context/messages/message')"

    const { code, stderr } = await runProgram([
      '--import',
      old,
      '--import',
      hooks,
      '--input-type=module',
      '--eval',
      load,
    ])

    expect(code).toBe(1)
    expect(stderr).toMatch(/^Error: logical-context supports Node /m)
  })
})
