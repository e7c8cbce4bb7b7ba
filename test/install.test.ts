import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it, onTestFinished } from 'vitest'
import manifest from '../package.json' with { type: 'json' }

const readme = readFileSync('README.md', 'utf8')
const section = /^## Install$([^]*?)^## /m.exec(readme)?.[1] ?? ''

/** Runs a program. Returns what it printed, and whether its exit code was 0. */
async function run(program: string, args: string[], options: object = {}): Promise<{ ok: boolean; output: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)(program, args, options)
    return { ok: true, output: stdout + stderr }
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    return { ok: false, output: stdout + stderr }
  }
}

/** Starts a registry that has this package and two versions of Koa. Returns its address. */
async function startRegistry(): Promise<string> {
  const { name, version, peerDependencies, peerDependenciesMeta } = manifest
  const packages: Record<string, object[]> = {
    koa: [
      { name: 'koa', version: '2.16.2' },
      { name: 'koa', version: '3.3.0' },
    ],
    [name]: [{ name, version, peerDependencies, peerDependenciesMeta }],
  }
  const registry = createServer(({ url = '' }, response) => {
    const found = packages[url.slice(1)] as { version: string }[] | undefined
    if (found === undefined) {
      response.writeHead(404).end('{}')
      return
    }
    const dist = { tarball: 'http://127.0.0.1:1/none.tgz', integrity: 'sha512-AA==' }
    const versions = Object.fromEntries(found.map((each) => [each.version, { ...each, dist }]))
    response.end(JSON.stringify({ name: url.slice(1), 'dist-tags': { latest: found.at(-1)?.version }, versions }))
  })
  registry.listen(0, '127.0.0.1')
  await once(registry, 'listening')
  onTestFinished(() => registry.close().closeAllConnections())
  return `http://127.0.0.1:${(registry.address() as AddressInfo).port}`
}

/** What `npm install` does in an app with these entries in its `package.json`. It writes nothing. */
async function install(registry: string, entries: object): Promise<{ ok: boolean; output: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'install-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'app', ...entries }))
  const settings = [`--registry=${registry}`, `--cache=${join(folder, 'cache')}`, '--no-audit', '--no-fund']
  return run('npm', ['install', '--dry-run', ...settings], { cwd: folder, shell: process.platform === 'win32' })
}

describe('the section of README on the install', () => {
  it('names each optional peer', () => {
    const missing = Object.keys(manifest.peerDependencies).filter((name) => !section.includes(`\`${name}\``))

    expect(missing).toEqual([])
  })

  it('names the supported versions of Node', () => {
    for (const range of manifest.engines.node.split(' || ')) expect(section).toContain(`\`${range}\``)
  })

  it('has an entry `overrides` with which npm accepts another version of a peer', { timeout: 60_000 }, async () => {
    const registry = await startRegistry()
    const dependencies = { koa: '^2.0.0', 'logical-context': '*' }
    const overrides = /`("overrides": .*?)`/.exec(section)?.[1]

    const refused = await install(registry, { dependencies })
    const accepted = await install(registry, { dependencies, ...(JSON.parse(`{${overrides}}`) as object) })

    expect(refused.output).toContain('ERESOLVE')
    expect(accepted).toMatchObject({ ok: true, output: expect.stringContaining('added 2 packages') as unknown })
  })

  it.each([
    ['nodenext', []],
    ['node20', []],
    ['node18', ['TS1479', 'TS1479']],
    ['node16', ['TS1479', 'TS1479']],
  ])('names what TypeScript does in CommonJS with "module": "%s"', async (module, errors) => {
    const args = ['node_modules/typescript/bin/tsc', '-p', 'test/fixtures/commonjs', '--module', module]

    const { output } = await run(process.execPath, args)

    expect(output.match(/TS\d+/g) ?? []).toEqual(errors)
    expect(section).toContain(`"${module}"`)
  })
})
