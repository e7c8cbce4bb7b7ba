import { globSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ServedModule } from './served-module.ts'
import { compileModules, readDocument, root, runModule, type WrittenModule, writeModules } from './run-blocks.ts'

const files = ['README.md', ...globSync('docs/**/*.md', { cwd: root }).map((file) => file.replaceAll('\\', '/'))]
const modules = files.flatMap((file) => writeModules('docs', file, readDocument(file)))
const programs = modules.filter(({ serves }) => !serves).map((module) => [titleOf(module), module] as const)
const servers = modules.filter(({ serves }) => serves).map((module) => [module.name, module] as const)

describe('the examples in README and docs', () => {
  it('are found', () => {
    expect(modules.map(({ file }) => file)).toContain('README.md')
  })

  it('compile', { timeout: 120_000 }, async () => {
    expect(await compileModules('docs', modules)).toEqual([])
  })

  // The embedded PostgreSQL of some examples takes long to start on a busy machine.
  it.each(programs)('%s', (_, module) => runModule(module), 120_000)

  it.skipIf(process.platform === 'win32').each(servers)(
    '%s serves, is not ready from SIGTERM on, and ends well',
    async (_, module) => {
      await using server = await ServedModule.start(module)
      const before = await server.ask('/ready')

      server.tellToEnd()
      await expect.poll(() => server.ask('/ready'), { timeout: 4000 }).toSatisfy(isRefusal)

      expect(before).toBeLessThan(500)
      expect(await server.ended()).toBe(0)
    },
  )
})

function titleOf({ name, assertions }: WrittenModule): string {
  if (assertions.length === 0) return `${name} runs`
  return `${name} holds ${assertions.length} assertions`
}

/** The URL of a server, or undefined for a server that closes or closed. */
function isRefusal(status: number | undefined): boolean {
  return status === undefined || status === 503
}
