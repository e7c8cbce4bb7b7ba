import { EventEmitter } from 'node:events'
import { createServer } from 'node:net'
import Fastify from 'fastify'
import { openScope, runInScope, spawn, TaskGroup } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { failOnOpenWork, sendRequest, tasksEnded, watchOpenWork } from 'logical-context/testing'
import { describe, expect, it, onTestFinished } from 'vitest'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('watchOpenWork', () => {
  it('accepts a test whose work has ended', async () => {
    const work = watchOpenWork()
    const app = Fastify()
    await app.register(logicalContext)
    app.get('/', async () => void spawn(turn))
    await sendRequest(app)
    await app.close()

    await expect(work.check()).resolves.toBeUndefined()
  })

  it('waits for tasks and units that end during the check', async () => {
    const work = watchOpenWork()
    const scope = openScope('slow')
    spawnOutside(async () => {
      await turn()
      scope.close()
    })

    await expect(work.check()).resolves.toBeUndefined()
  })

  it('names a task and a unit that are left', async () => {
    const work = watchOpenWork({ timeoutMs: 5 })
    const gate = Promise.withResolvers<void>()
    onTestFinished(() => gate.resolve())
    const scope = openScope('job')
    spawnOutside(() => gate.promise, 'stuck')

    await expect(work.check()).rejects.toMatchObject({
      code: 'ERR_ASSERTION',
      actual: ["the unit 'job'", "the task 'stuck'"],
    })
    scope.close()
  })

  it('ignores work that began before the watch', async () => {
    const scope = openScope('before')

    await expect(watchOpenWork({ timeoutMs: 5 }).check()).resolves.toBeUndefined()
    scope.close()
  })

  it('names listeners that are left on process and on given emitters, with their events', async () => {
    const client = new EventEmitter()
    const kept = () => {}
    client.on('error', kept)
    const work = watchOpenWork({ emitters: [client], timeoutMs: 5 })
    const onMessage = () => {}
    const onExit = () => {}
    client.on('message', onMessage)
    client.once('gone', () => {})
    process.on('exit', onExit)
    onTestFinished(() => void process.off('exit', onExit))

    await expect(work.check()).rejects.toMatchObject({
      actual: [
        "a listener 'onExit' of 'exit' on process",
        "a listener 'onMessage' of 'message' on EventEmitter",
        expect.stringMatching(/^a listener .*of 'gone' on EventEmitter$/),
      ],
    })
  })

  it('names a server that still listens', async () => {
    const work = watchOpenWork({ timeoutMs: 5 })
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(async () => void server.close())

    await expect(work.check()).rejects.toThrow('The test left open: a server that listens.')
  })

  it('throws for emitters that are not', () => {
    expect(() => watchOpenWork({ emitters: [new EventTarget()] as never })).toThrow(
      "watchOpenWork: option 'emitters' expected an array of EventEmitters, got [ EventTarget {} ].",
    )
  })

  it('throws for an unknown option', () => {
    expect(() => watchOpenWork({ timeout: 5 } as never)).toThrow("watchOpenWork: unknown option 'timeout'")
  })
})

describe('failOnOpenWork', () => {
  it('checks after each test what the test opened', async () => {
    const hooks: { before?: () => void; after?: () => Promise<void> } = {}
    failOnOpenWork(
      { beforeEach: (hook) => void (hooks.before = hook), afterEach: (hook) => void (hooks.after = hook) },
      { timeoutMs: 5 },
    )

    hooks.before?.()
    const scope = openScope('left')
    await expect(hooks.after?.()).rejects.toThrow("the unit 'left'")
    hooks.before?.()
    runInScope(() => {})
    await expect(hooks.after?.()).resolves.toBeUndefined()
    scope.close()
  })

  it('throws without the hooks of a runner', () => {
    expect(() => failOnOpenWork({} as never)).toThrow('failOnOpenWork: a hook of the test runner: expected a function')
  })
})

describe('tasksEnded', () => {
  it('waits for all tasks of an app, and for those that they spawn', async () => {
    const events: string[] = []
    const app = Fastify()
    onTestFinished(() => app.close())
    await app.register(logicalContext)
    app.get('/', async () => {
      spawn(async () => {
        await turn()
        events.push('first')
        spawn(async () => {
          await turn()
          events.push('second')
        })
      })
      return {}
    })

    await sendRequest(app)
    await tasksEnded(app)

    expect(events).toEqual(['first', 'second'])
    expect((await sendRequest(app)).status).toBe(200)
  })

  it('rejects at the limit with the names of the tasks', async () => {
    const group = new TaskGroup({ name: 'of the test' })
    group.spawn(() => new Promise(() => {}), { name: 'stuck' })

    await expect(tasksEnded(group, { timeoutMs: 5 })).rejects.toMatchObject({
      message: expect.stringContaining("'the task stuck' did not end within 5 ms"),
      errors: [{ code: 'LCTX_TIMEOUT' }],
    })
  })

  it('accepts each kind of owner', async () => {
    const group = new TaskGroup()

    for (const owner of [group, { group }, { requestScopes: { group } }, { inbound: { group } }]) {
      await expect(tasksEnded(owner)).resolves.toBeUndefined()
    }
  })

  it.each([[undefined], [{}], [Fastify()]])('rejects an owner without tasks: %o', async (owner) => {
    await expect(tasksEnded(owner as never)).rejects.toThrow('tasksEnded: expected an app with the plugin')
  })
})

function spawnOutside(fn: () => Promise<unknown>, name = 'task'): void {
  new TaskGroup({ name: 'of the test' }).spawn(fn, { name })
}
