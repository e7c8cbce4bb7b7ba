import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { runScript } from '../flow/run-script.ts'
import { importsOf, readSource } from './source-file.ts'

const source = fileURLToPath(new URL('../../src/', import.meta.url))

/** Spawns a task, awaits its end, and prints the files with the functions that ran meanwhile. */
const script = `
import { Session } from 'node:inspector/promises'
import { ContextVar, runInScope, spawn } from 'logical-context'

const user = new ContextVar('user')
const inspector = new Session()
inspector.connect()
await inspector.post('Profiler.enable')
await inspector.post('Profiler.startPreciseCoverage', { callCount: true })
const turn = () => new Promise((resolve) => setImmediate(resolve))

await runInScope(async () => {
  user.set('ada')
  await turn()
  await inspector.post('Profiler.takePreciseCoverage')
  spawn(async () => { await turn() })
  await turn()
  await turn()
  const { result } = await inspector.post('Profiler.takePreciseCoverage')
  const ran = ({ functionName, ranges }) => functionName !== '' && ranges[0].count > 0
  console.log(JSON.stringify(result.filter(({ functions }) => functions.some(ran)).map(({ url }) => url)))
})
`

it('a spawn, from its call to the end of the task, runs code of at most 16 files, 7 of them in tasks', async () => {
  const { stdout, stderr } = await runScript(script)

  expect(stderr).toBe('')
  const files = (JSON.parse(stdout) as string[])
    .filter((url) => url.startsWith('file:'))
    .map((url) => fileURLToPath(url))
    .filter((path) => path.startsWith(source))
    .map((path) => path.slice(source.length))
  expect(files).toContain('tasks/task-group.ts')
  expect(files.filter((file) => file.startsWith('tasks/')).length).toBeLessThanOrEqual(7)
  expect(files.length).toBeLessThanOrEqual(16)
})

it('spawn loads at most 16 files', () => {
  const loaded = new Set(['src/tasks/spawn.ts'])
  // A Set includes what is added while it is iterated.
  for (const path of loaded) {
    for (const { kind, target } of importsOf(readSource(path))) {
      if (kind === 'static' && target !== undefined) loaded.add(target)
    }
  }

  expect(loaded).toContain('src/tasks/unit.ts')
  expect(loaded.size).toBeLessThanOrEqual(16)
})
