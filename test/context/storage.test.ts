import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { AsyncLocalStorage } from 'node:async_hooks'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import * as ours from 'logical-context'
import { doctor } from 'logical-context/doctor'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { requestId } from 'logical-context/variables'
import { runScript } from '../flow/run-script.ts'

type Copy = typeof ours

describe('two copies of the package', () => {
  const folder = mkdtempSync(join(tmpdir(), 'logical-context-'))
  let theirs: Copy
  let theirRequestId: typeof requestId

  beforeAll(async () => {
    cpSync(fileURLToPath(new URL('../../src', import.meta.url)), folder, { recursive: true })
    theirs = (await import(pathToFileURL(join(folder, 'index.ts')).href)) as Copy
    const variables = (await import(pathToFileURL(join(folder, 'variables/index.ts')).href)) as {
      requestId: typeof requestId
    }
    theirRequestId = variables.requestId
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  it('are two', () => {
    expect(theirs.ContextVar).not.toBe(ours.ContextVar)
    expect(theirs.spawn).not.toBe(ours.spawn)
  })

  // tsx loads a CommonJS copy for a program, and its doctor, which the environment turns on, is in the other one.
  it('are both observed by the doctor of one', () => {
    using on = doctor({ onFinding() {}, summary: false })
    const their = new theirs.ContextVar<string>('user')
    ours.runInScope(() => their.set('grace'))

    their.get()

    expect(on.findings.map(({ what }) => what)).toEqual(["read of 'user' outside any unit"])
  })

  it('give their variables different places', () => {
    const our = new ours.ContextVar<string>('user')
    const their = new theirs.ContextVar<string>('user')

    const seen = ours.runInScope(() => {
      our.set('ada')
      their.set('grace')
      return [our.get(), their.get(), String(ours.current()), String(theirs.current())]
    })

    expect(seen).toEqual(['ada', 'grace', 'LogicalContext(user, user)', 'LogicalContext(user, user)'])
  })

  it.each<[name: string, outer: () => Copy, inner: () => Copy]>([
    ['ours around theirs', () => ours, () => theirs],
    ['theirs around ours', () => theirs, () => ours],
  ])('read and write the values of one unit: %s', async (_, outer, inner) => {
    const user = new (inner().ContextVar)<string>('user')
    const { spawn, current, run, bind, runInScope, isolateGenerator } = inner()

    const seen = await outer().runInScope(async () => {
      user.set('ada')
      const snapshot = current()
      const bound = bind(() => user.get())
      const generator = isolateGenerator(function* () {
        user.set('own')
        yield user.get()
      })()
      const task = spawn(() => [user.get(), user.set('task’s')])
      const results = {
        snapshot: run(snapshot, () => user.get()),
        block: user.run('block’s', () => user.get()),
        generator: generator.next().value,
        unit: runInScope(() => user.has()),
        bound: bound(),
        task: (await task.result())[0],
      }
      return { ...results, after: user.get() }
    })

    expect(seen).toEqual({
      snapshot: 'ada',
      block: 'block’s',
      generator: 'own',
      unit: false,
      bound: 'ada',
      task: 'ada',
      after: 'ada',
    })
  })

  it.each<[name: string, opener: () => Copy, other: () => Copy]>([
    ['ours', () => ours, () => theirs],
    ['theirs', () => theirs, () => ours],
  ])('seal what the other one has put into a unit: %s', (_, opener, other) => {
    const user = new (other().ContextVar)<string>('user')
    const kept = new (other().ContextVar)<string>('kept', { onSpawn: 'keep' })

    const lateReads = opener().runInScope(
      () => {
        user.set('ada')
        kept.set('kept')
        const { bind } = other()
        return [bind(() => [user.get(), kept.get()]), user.run('block’s', () => bind(() => [user.get(), kept.get()]))]
      },
      { onLateUse: () => {} },
    )

    expect(lateReads.map((read) => read())).toEqual([
      [undefined, 'kept'],
      [undefined, 'kept'],
    ])
  })

  it('take each other’s objects as options', async () => {
    const user = new ours.ContextVar<string>('user')
    const group = new ours.TaskGroup()

    const task = theirs.runInScope(() => theirs.spawn(() => user.get(), { policy: { only: [user, requestId] } }), {
      context: ours.LogicalContext.empty.with(user, 'ada'),
      group,
    })

    expect(await task.result()).toBe('ada')
    expect(user).toBeInstanceOf(theirs.ContextVar)
    expect(group).toBeInstanceOf(theirs.TaskGroup)
    expect(ours.LogicalContext.empty).toBeInstanceOf(theirs.LogicalContext)
  })

  it('keep the variables of the package and the background group in common', () => {
    expect(theirRequestId).toBe(requestId)
    expect(theirs.backgroundGroup).toBe(ours.backgroundGroup)
  })

  it('count tasks together, so that no two have one id', () => {
    const ids = [ours, theirs, ours].map(({ TaskGroup }) => new TaskGroup().spawn(() => {}).id)

    expect(ids).toEqual([ids[0], (ids[0] ?? 0) + 1, (ids[0] ?? 0) + 2])
  })

  it('refuse to work with one of another layout, and name it', async () => {
    const { code, stderr } = await runScript(`
      Object.defineProperty(globalThis, Symbol.for('logical-context.registry'), { value: { layout: 'of tomorrow' } })
      await import('logical-context').catch(({ name, code, message }) => console.error(name, code, message))
    `)

    expect(stderr).toMatch(/^VersionMismatchError LCTX_VERSION_MISMATCH .*layout \d+, .* uses of tomorrow\. .*npm ls/)
    expect(code).toBe(0)
  })
})

describe('the classes of the package', () => {
  it('recognise their own subclasses by instanceof, and no others', () => {
    class Special extends ours.ContextVar<string, undefined> {}
    const [plain, special] = [new ours.ContextVar('plain'), new Special('special')]

    expect(special).toBeInstanceOf(ours.ContextVar)
    expect(special).toBeInstanceOf(Special)
    expect(plain).not.toBeInstanceOf(Special)
    expect([null, undefined, 'text', {}].some((value) => value instanceof (ours.ContextVar as never))).toBe(false)
  })
})

describe('isolate', () => {
  it('runs outside the contexts of other libraries, too, except those that were active when the package was loaded', async () => {
    const other = new AsyncLocalStorage<string>()

    const tasks = other.run('a span', () =>
      ours.runInScope(() =>
        (['inherit', 'isolate'] as const).map((policy) => ours.spawn(async () => other.getStore(), { policy })),
      ),
    )

    expect(await Promise.all(tasks.map((task) => task.result()))).toEqual(['a span', undefined])
  })
})
