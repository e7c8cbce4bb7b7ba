import type { IncomingMessage } from 'node:http'
import { Module, type NestInterceptor, UseInterceptors, type WebSocketAdapter } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ContextVar } from 'logical-context'
import { LogicalContextModule } from 'logical-context/middleware/nestjs'
import { logicalContext } from 'logical-context/middleware/websocket'
import { map, type Observable, Subject, take } from 'rxjs'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { WebSocket, type WebSocketServer } from 'ws'
import { decorate, describeNestjs } from '../contracts/nestjs.ts'

const older = await vi.hoisted(async () => (await import('../fixtures/install.ts')).requireOf('older-packages'))

// Also for the imports of the package itself.
vi.mock('@nestjs/common', () => older('@nestjs/common') as object)
vi.mock('@nestjs/core', () => older('@nestjs/core') as object)
vi.mock(
  '@nestjs/core/router/router-response-controller.js',
  () => older('@nestjs/core/router/router-response-controller.js') as object,
)
vi.mock(
  '@nestjs/core/router/router-execution-context.js',
  () => older('@nestjs/core/router/router-execution-context.js') as object,
)
vi.mock(
  '@nestjs/core/interceptors/interceptors-consumer.js',
  () => older('@nestjs/core/interceptors/interceptors-consumer.js') as object,
)
// Of two copies, one does not end the observables of the other.
vi.mock('rxjs', () => older('rxjs') as object)
vi.mock('@nestjs/platform-express', () => older('@nestjs/platform-express') as object)
vi.mock('@nestjs/platform-fastify', () => older('@nestjs/platform-fastify') as object)

describeNestjs('11')

describe('the packages of Nest 11', () => {
  it('are those that run here', () => {
    expect(NestFactory).toBe((older('@nestjs/core') as { NestFactory: unknown }).NestFactory)
    expect([older('@nestjs/core/package.json'), older('fastify/package.json')]).toMatchObject([
      { version: expect.stringMatching(/^11\./) },
      { version: '5.11.3' },
    ])
  })
})

const user = new ContextVar<string>('user')
const { WebSocketGateway, SubscribeMessage } = older('@nestjs/websockets') as {
  WebSocketGateway: () => ClassDecorator
  SubscribeMessage: (event: string) => MethodDecorator
}
const { WsAdapter } = older('@nestjs/platform-ws') as { WsAdapter: new (app: object) => WebSocketAdapter }

interface Reply {
  event: string
  data: string | undefined
}

describe('a gateway of Nest', () => {
  it('has the values of its connection, also in the operators of interceptors', async () => {
    const orders = new Subject<string>()
    const waits = Promise.withResolvers<void>()
    class Orders {
      afterInit(server: WebSocketServer): void {
        logicalContext(server, { messagePolicy: 'share' })
      }

      handleConnection(_client: WebSocket, request: IncomingMessage): void {
        user.set(String(request.headers['x-user']))
      }

      async rename(_client: WebSocket, name: string): Promise<void> {
        await Promise.resolve()
        user.set(name)
      }

      async me(): Promise<Reply> {
        await new Promise((resolve) => setImmediate(resolve))
        return { event: 'me', data: user.get() }
      }

      order(): Observable<Reply> {
        waits.resolve()
        return orders.pipe(
          take(1),
          map((data) => ({ event: 'order', data })),
        )
      }

      emit(): Reply {
        orders.next('tea')
        return { event: 'emitted', data: user.get() }
      }
    }
    const forUser: NestInterceptor = {
      intercept: (_context, next) =>
        next.handle().pipe(map(({ event, data }: Reply) => ({ event, data: `${data} for ${user.get()}` }))),
    }
    WebSocketGateway()(Orders)
    for (const name of ['rename', 'me', 'emit']) decorate(Orders, name, [SubscribeMessage(name)])
    decorate(Orders, 'order', [SubscribeMessage('order'), UseInterceptors(forUser)])
    class App {
      readonly name = 'app'
    }
    Module({ imports: [LogicalContextModule.forRoot()], providers: [Orders] })(App)
    const app = await NestFactory.create(App, { logger: false })
    app.useWebSocketAdapter(new WsAdapter(app))
    onTestFinished(() => app.close())
    await app.listen(0, '127.0.0.1')
    const url = (await app.getUrl()).replace('http', 'ws')
    const replies: unknown[] = []
    const dial = async (name: string) => {
      const client = new WebSocket(url, { headers: { 'x-user': name } })
      onTestFinished(() => client.terminate())
      client.on('message', (data) => {
        const { event, data: value } = JSON.parse((data as Buffer).toString()) as Reply
        replies.push([name, event, value])
      })
      await new Promise((resolve) => client.once('open', resolve))
      return (event: string, data?: string) => client.send(JSON.stringify({ event, data }))
    }
    const ask = await dial('ann')
    const askAsBob = await dial('bob')

    ask('rename', 'anna')
    ask('me')
    await expect.poll(() => replies).toEqual([['ann', 'me', 'anna']])
    ask('order')
    await waits.promise
    askAsBob('emit')
    await expect.poll(() => replies.length).toBe(3)

    expect(replies).toContainEqual(['ann', 'order', 'tea for anna'])
    expect(replies).toContainEqual(['bob', 'emitted', 'bob'])
  })
})
