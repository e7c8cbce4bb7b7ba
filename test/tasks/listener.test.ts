import { EventEmitter } from 'node:events'
import { ContextVar, currentSignal, openScope, type Policy, runInScope, type Task, TaskGroup } from 'logical-context'
import { describe, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { WebSocket } from 'undici'
import { runScript } from '../flow/run-script.ts'

const user = new ContextVar<string>('user')

function openConnection() {
  const failures: string[] = []
  const onError = (error: unknown, task: Task) => {
    failures.push(`${task.name}: ${(error as { code?: string }).code ?? (error as Error).message} of ${user.get()}`)
  }
  const group = new TaskGroup({ onError })
  const scope = openScope('connection', { group })
  scope.run(() => user.set('ann'))
  return { failures, group, scope, emitter: new EventEmitter() }
}

describe('RequestScope.listener', () => {
  it.each<[string, () => unknown]>([
    [
      'a throw',
      () => {
        throw new Error('broken')
      },
    ],
    ['a rejection', () => Promise.reject(new Error('broken'))],
    [
      'a rejection after an await',
      async () => {
        await Promise.resolve()
        throw new Error('broken')
      },
    ],
    [
      'the rejection of a lazy thenable',
      () => ({ then: (_resolve: unknown, reject: (error: Error) => void) => reject(new Error('broken')) }),
    ],
  ])('passes %s to onError, in the context of the unit', async (_name, fail) => {
    const { failures, group, scope, emitter } = openConnection()
    emitter.on('message', scope.listener(fail, { name: 'message' }))

    const hadListeners = emitter.emit('message', 'hi')
    await group.drain()

    expect(hadListeners).toBe(true)
    expect(failures).toEqual(['message: broken of ann'])
    expect(group.counters.failed).toBe(1)
  })

  it('passes the receiver and the arguments, and keeps the name and the length', async () => {
    const { group, scope, emitter } = openConnection()
    const calls: unknown[] = []
    const listener = scope.listener(function onMessage(this: EventEmitter, data: string, isBinary: boolean) {
      calls.push([this === emitter, data, isBinary, group.tasks.map(({ name }) => name)])
    })
    emitter.on('message', listener)

    emitter.emit('message', 'hi', false)

    expect(calls).toEqual([[true, 'hi', false, ['onMessage']]])
    expect([listener.name, listener.length]).toEqual(['onMessage', 2])
  })

  it('calls the onError of its options', async () => {
    const { failures, group, scope, emitter } = openConnection()
    const own: unknown[] = []
    const onError = (error: unknown) => own.push(error)
    const error = new Error('broken')
    emitter.on(
      'message',
      scope.listener(() => Promise.reject(error), { onError }),
    )

    emitter.emit('message')
    await group.drain()
    group.close()
    emitter.emit('message')
    await group.drain()

    expect(own).toEqual([error, expect.objectContaining({ code: 'LCTX_GROUP_CLOSED' })])
    expect(failures).toEqual([])
  })

  it('aborts the signal of an event at the limit of its options', async () => {
    const { failures, group, scope, emitter } = openConnection()
    const untilAborted = async () => {
      const { promise, reject } = Promise.withResolvers<never>()
      const signal = currentSignal() as AbortSignal
      signal.addEventListener('abort', () => reject(signal.reason as Error))
      await promise
    }
    emitter.on('message', scope.listener(untilAborted, { timeoutMs: 10 }))

    emitter.emit('message')
    await group.drain()

    expect(failures).toEqual(['untilAborted: LCTX_TIMEOUT of ann'])
  })

  it.each<[Policy, unknown[]]>([
    ['inherit', ['ann', 'ann', 'ann']],
    ['share', ['ann', 'bob', 'bob']],
    ['isolate', [undefined, undefined, 'ann']],
  ])('runs each event by its policy: %s', async (policy, expected) => {
    const { group, scope, emitter } = openConnection()
    const seen: unknown[] = []
    emitter.on(
      'message',
      scope.listener(
        async () => {
          seen.push(user.get())
          await Promise.resolve()
          user.set('bob')
        },
        { policy },
      ),
    )

    // As another unit's code emits.
    for (let i = 0; i < 2; i++) {
      runInScope(() => {
        user.set('eve')
        emitter.emit('message')
      })
      await group.drain()
    }

    expect([...seen, scope.context.get(user)]).toEqual(expected)
  })

  it('reads what the unit has set since', () => {
    const { scope, emitter } = openConnection()
    const seen: unknown[] = []
    emitter.on(
      'message',
      scope.listener(() => seen.push(user.get())),
    )

    scope.run(() => user.set('bob'))
    emitter.emit('message')

    expect(seen).toEqual(['bob'])
  })

  it('passes the refusal of a full group to onError', async () => {
    const failures: unknown[] = []
    const onError = (error: unknown, task: Task) => failures.push([task.name, (error as { code?: string }).code])
    const group = new TaskGroup({ maxConcurrent: 1, maxQueued: 0, onError })
    const emitter = new EventEmitter()
    const end = Promise.withResolvers<void>()
    emitter.on(
      'message',
      openScope('connection', { group }).listener(() => end.promise, { name: 'message' }),
    )

    emitter.emit('message')
    emitter.emit('message')
    end.resolve()
    await group.drain()

    expect(failures).toEqual([['message', 'LCTX_GROUP_FULL']])
    expect(group.counters).toMatchObject({ ended: 2, failed: 1, refused: 1 })
  })

  it('continues after the end of the unit', async () => {
    const { failures, group, scope, emitter } = openConnection()
    const seen: unknown[] = []
    emitter.on(
      'message',
      scope.listener(() => {
        seen.push(user.get())
        throw new Error('late')
      }),
    )
    scope.close()

    emitter.emit('message')
    await group.drain()

    expect(seen).toEqual([undefined])
    expect(failures).toEqual(['listener: late of undefined'])
    expect(() => scope.listener(() => {})).toThrow(expect.objectContaining({ code: 'LCTX_SCOPE_CLOSED' }))
  })

  it('throws for wrong arguments, at once', () => {
    const { scope } = openConnection()

    expect(() => scope.listener('message' as never)).toThrow(TypeError)
    expect(() => scope.listener(() => {}, { polcy: 'share' } as never)).toThrow(TypeError)
  })

  it('serves the messages of ws, in the context of their connection', async () => {
    const { failures, group, scope } = openConnection()
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    server.on('connection', (socket) => {
      socket.on(
        'message',
        scope.listener(
          async (data: Buffer) => {
            await Promise.resolve()
            socket.send(`${data.toString()} ${user.get()}`)
            throw new Error('broken')
          },
          { name: 'message' },
        ),
      )
    })
    await new Promise((resolve) => server.once('listening', resolve))
    const client = new WebSocket(`ws://127.0.0.1:${(server.address() as { port: number }).port}`)
    await new Promise((resolve) => client.addEventListener('open', resolve))

    const answers: unknown[] = []
    for (const text of ['hi', 'ho']) {
      const answered = new Promise((resolve) => client.addEventListener('message', resolve, { once: true }))
      client.send(text)
      answers.push(((await answered) as MessageEvent).data)
    }
    client.close()
    server.close()
    await group.drain()

    expect(answers).toEqual(['hi ann', 'ho ann'])
    expect(failures).toEqual(['message: broken of ann', 'message: broken of ann'])
  })

  it('writes a failure to stderr without an onError, and does not end the process', async () => {
    const { stdout, stderr, code } = await runScript(`
      import { EventEmitter } from 'node:events'
      import { openScope } from 'logical-context'

      const emitter = new EventEmitter()
      emitter.on('message', openScope('connection').listener(async () => { throw new Error('broken') }, { name: 'message' }))
      emitter.emit('message')
      setImmediate(() => console.log('alive'))
    `)

    expect(stdout.trim()).toBe('alive')
    expect(stderr).toMatch(/the task 'message' \(id 1\) failed: Error: broken/)
    expect(code).toBe(0)
  })
})
