import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { ContextVar, currentSignal, type Policy, type Task } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { requestId } from 'logical-context/variables'
import { WebSocket } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'

const user = new ContextVar<string>('user')
const listen = { port: 0, host: '127.0.0.1' } as const

async function open() {
  const failures: unknown[] = []
  const seen: unknown[] = []
  const app = Fastify()
  await app.register(logicalContext, {
    onError: (error: unknown, task: Task) => {
      failures.push([(error as Error).message, task.name, user.get(), requestId.get()])
    },
  })
  await app.register(websocket)
  onTestFinished(() => app.close())
  app.addHook('onRequest', async (request) => user.set(String(request.headers['x-user'])))
  return { app, failures, seen }
}

async function connect(url: string, name: string) {
  const headers = { 'x-user': name, 'x-request-id': `id-of-${name}` }
  const client = new WebSocket(`${url.replace('http', 'ws')}/chat`, { headers })
  await new Promise((resolve) => client.addEventListener('open', resolve))
  const ask = async (text: string) => {
    const answered = new Promise<{ data: unknown }>((resolve) =>
      client.addEventListener('message', resolve as never, { once: true }),
    )
    client.send(text)
    return (await answered).data
  }
  return { client, ask }
}

describe('RequestScope.listener, for the sockets of @fastify/websocket', () => {
  it.each<Policy>(['inherit', 'share'])(
    'passes failures to onError with the ids of the request: %s',
    async (policy) => {
      const { app, failures } = await open()
      app.get('/chat', { websocket: true }, (socket, { requestScope: scope }) => {
        const onMessage = async (data: Buffer) => {
          socket.send(`${String(data)}, ${user.get()}`)
          if (String(data) === 'reject') await Promise.resolve()
          throw new Error(String(data))
        }
        socket.on('message', scope.listener(onMessage, { policy }))
        socket.on(
          'message',
          scope.listener(function inSync(data: Buffer) {
            throw new Error(`${data.toString()} at once`)
          }),
        )
      })
      const url = await app.listen(listen)
      const [ann, bob] = await Promise.all([connect(url, 'ann'), connect(url, 'bob')])

      const answers = [await ann.ask('reject'), await bob.ask('throw'), await ann.ask('throw')]
      await app.requestScopes.group.drain()

      expect(answers).toEqual(['reject, ann', 'throw, bob', 'throw, ann'])
      expect(failures).toEqual([
        ['reject at once', 'inSync', 'ann', 'id-of-ann'],
        ['reject', 'onMessage', 'ann', 'id-of-ann'],
        ['throw at once', 'inSync', 'bob', 'id-of-bob'],
        ['throw', 'onMessage', 'bob', 'id-of-bob'],
        ['throw at once', 'inSync', 'ann', 'id-of-ann'],
        ['throw', 'onMessage', 'ann', 'id-of-ann'],
      ])
    },
  )

  it('runs the close listener with the values of the connection', async () => {
    const { app, failures } = await open()
    const closed = Promise.withResolvers<unknown>()
    app.get('/chat', { websocket: true }, (socket, { requestScope: scope }) => {
      socket.on(
        'close',
        scope.listener(async (code: number) => {
          await Promise.resolve()
          closed.resolve([code, user.get(), currentSignal()?.aborted])
          throw new Error('in close')
        }),
      )
    })
    const { client } = await connect(await app.listen(listen), 'ann')

    client.close(1000)

    expect(await closed.promise).toEqual([1000, 'ann', false])
    await app.requestScopes.group.drain()
    expect(failures).toEqual([['in close', 'listener', 'ann', 'id-of-ann']])
  })

  it('postpones a close of the app until a running message has ended', async () => {
    const { app, seen } = await open()
    const began = Promise.withResolvers<void>()
    const end = Promise.withResolvers<void>()
    app.get('/chat', { websocket: true }, (socket, { requestScope: scope }) => {
      socket.on(
        'message',
        scope.listener(async () => {
          began.resolve()
          await end.promise
          seen.push(user.get())
        }),
      )
    })
    const { client } = await connect(await app.listen(listen), 'ann')
    client.send('hi')
    await began.promise

    const closed = app.close().then(() => seen.push('closed'))
    await new Promise((resolve) => client.addEventListener('close', resolve))
    end.resolve()
    await closed

    expect(seen).toEqual(['ann', 'closed'])
  })
})
