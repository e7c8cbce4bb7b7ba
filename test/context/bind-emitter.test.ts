import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter, once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { MessageChannel } from 'node:worker_threads'
import { execute, GraphQLObjectType, GraphQLSchema, GraphQLString, parse, subscribe, validate } from 'graphql'
import { createClient } from 'graphql-ws'
import { useServer } from 'graphql-ws/use/ws'
import { bindEmitter, ContextVar, openScope, outside, runInScope } from 'logical-context'
import { describe, expect, it, onTestFinished } from 'vitest'
import { WebSocket as WsClient, WebSocketServer } from 'ws'

const user = new ContextVar<string, string>('user', { default: 'guest' })

/** Runs `fn` in a unit of the user that stays open until the end of the test. */
function inUnitOf<R>(name: string, fn: () => R): R {
  const scope = openScope(name)
  onTestFinished(() => scope.close())
  return scope.run(() => {
    user.set(name)
    return fn()
  })
}

/** Adds a listener that notes what it sees. */
function note(emitter: EventEmitter, event: string): string[] {
  const seen: string[] = []
  emitter.on(event, () => seen.push(user.get()))
  return seen
}

describe('bindEmitter of an EventEmitter', () => {
  it('runs listeners that were added before and later in the unit that binds, also if another unit emits or adds', () => {
    const emitter = new EventEmitter()
    const before = note(emitter, 'message')
    inUnitOf('ada', () => bindEmitter(emitter))
    const later = inUnitOf('grace', () => note(emitter, 'message'))

    emitter.emit('message')
    inUnitOf('grace', () => emitter.emit('message'))

    expect([before, later]).toEqual([
      ['ada', 'ada'],
      ['ada', 'ada'],
    ])
  })

  it('shares the values of the unit: listeners read what is set later, and what they set is seen', () => {
    const emitter = new EventEmitter()
    emitter.on('message', (name: string) => user.set(name))

    const seen = inUnitOf('ada', () => {
      bindEmitter(emitter)
      outside(() => emitter.emit('message', 'barbara'))
      return user.get()
    })

    expect(seen).toBe('barbara')
  })

  it('binds the contexts of other libraries too', () => {
    const other = new AsyncLocalStorage<string>()
    const emitter = new EventEmitter()
    const seen: unknown[] = []
    emitter.on('message', () => seen.push(other.getStore()))

    other.run('span', () => bindEmitter(emitter))
    emitter.emit('message')

    expect(seen).toEqual(['span'])
  })

  it.each(['on', 'addListener', 'once', 'prependListener', 'prependOnceListener'] as const)(
    'runs listeners of %s, which off and removeListener remove by the original function',
    (add) => {
      const emitter = new EventEmitter()
      const seen: string[] = []
      const [kept, off, removed] = [1, 2, 3].map((number) => () => void seen.push(`${number} ${user.get()}`)) as [
        () => void,
        () => void,
        () => void,
      ]
      inUnitOf('ada', () => bindEmitter(emitter))

      for (const listener of [kept, off, removed]) emitter[add]('message', listener)
      emitter.off('message', off)
      emitter.removeListener('message', removed)
      emitter.emit('message')

      expect(seen).toEqual(['1 ada'])
    },
  )

  it('returns the original functions from listeners() and rawListeners(), and counts them', () => {
    const emitter = new EventEmitter()
    const listener = () => {}
    inUnitOf('ada', () => bindEmitter(emitter))

    emitter.on('message', listener)

    expect([emitter.listeners('message'), emitter.rawListeners('message')]).toEqual([[listener], [listener]])
    expect(emitter.listenerCount('message', listener)).toBe(1)
  })

  it('passes arguments and the receiver to the listener, and the result of emit to the caller', () => {
    const emitter = new EventEmitter()
    const calls: unknown[] = []
    emitter.on('message', function (this: unknown, ...args) {
      calls.push(this === emitter, args)
    })
    inUnitOf('ada', () => bindEmitter(emitter))

    expect([emitter.emit('message', 1, 2), emitter.emit('other')]).toEqual([true, false])
    expect([emitter.emit.name, emitter.emit.length]).toEqual(['emit', 1])
    expect(calls).toEqual([true, [1, 2]])
  })

  it('throws errors of listeners, and an error event without a listener, to the code that emits', () => {
    const emitter = new EventEmitter()
    const error = new Error('in the listener')
    inUnitOf('ada', () => bindEmitter(emitter))
    emitter.on('message', () => {
      throw error
    })

    expect(() => emitter.emit('message')).toThrow(error)
    expect(() => emitter.emit('error', error)).toThrow(error)
  })

  it('binds events.once and the events of a stream', async () => {
    const stream = new PassThrough()
    const seen = note(stream, 'data')
    inUnitOf('ada', () => bindEmitter(stream))

    const ended = once(stream, 'end')
    stream.end('chunk')
    await ended

    expect(seen).toEqual(['ada'])
  })

  it('restores the emitter at the end of a using block, once', () => {
    const emitter = new EventEmitter()
    const seen = note(emitter, 'message')
    {
      using _ = inUnitOf('ada', () => bindEmitter(emitter))
      emitter.emit('message')
    }
    emitter.emit('message')

    expect(seen).toEqual(['ada', 'guest'])
    expect(Object.getOwnPropertyNames(emitter)).toEqual(Object.getOwnPropertyNames(new EventEmitter()))
  })

  it('does nothing at a second dispose, also if the emitter is bound again', () => {
    const emitter = new EventEmitter()
    const seen = note(emitter, 'message')
    const first = inUnitOf('ada', () => bindEmitter(emitter))
    first[Symbol.dispose]()
    inUnitOf('grace', () => bindEmitter(emitter))

    first[Symbol.dispose]()
    emitter.emit('message')

    expect(seen).toEqual(['grace'])
  })

  it('replaces the unit at a second call; the first result is inert, the second restores the emitter', () => {
    const emitter = new EventEmitter()
    const original = emitter.emit
    const seen = note(emitter, 'message')
    const first = inUnitOf('ada', () => bindEmitter(emitter))
    const second = inUnitOf('grace', () => bindEmitter(emitter))

    first[Symbol.dispose]()
    emitter.emit('message')
    second[Symbol.dispose]()
    emitter.emit('message')

    expect([seen, emitter.emit === original]).toEqual([['grace', 'guest'], true])
  })

  it('does not grow with calls', () => {
    const emitter = new EventEmitter()
    for (let i = 0; i < 20_000; i++) bindEmitter(emitter)
    const depths: number[] = []
    emitter.on('message', () => depths.push(new Error('depth').stack?.split('\n').length ?? 0))

    emitter.emit('message')

    expect(depths[0]).toBeLessThan(20)
  })

  it('keeps a replacement of emit that other code made before, and one that it makes later', () => {
    const log: string[] = []
    const wrap = (emitter: EventEmitter, name: string) => {
      const { emit } = emitter
      emitter.emit = function (...args: Parameters<typeof emit>) {
        log.push(name)
        return emit.apply(this, args)
      }
    }
    const emitter = new EventEmitter()
    const seen = note(emitter, 'message')

    wrap(emitter, 'before')
    const binding = inUnitOf('ada', () => bindEmitter(emitter))
    wrap(emitter, 'later')
    emitter.emit('message')
    binding[Symbol.dispose]()
    emitter.emit('message')

    expect([log, seen]).toEqual([
      ['later', 'before', 'later', 'before'],
      ['ada', 'guest'],
    ])
  })

  it('leaves the values of a unit that has ended', () => {
    const emitter = new EventEmitter()
    const seen = note(emitter, 'message')

    runInScope(
      () => {
        user.set('ada')
        bindEmitter(emitter)
      },
      { onLateUse: () => {} },
    )
    emitter.emit('message')

    expect(seen).toEqual(['guest'])
  })

  it.each<[name: string, value: unknown]>([
    ['a number', 1],
    ['undefined', undefined],
    ['null', null],
    ['an object', { on() {} }],
    ['a frozen emitter', Object.freeze(new EventEmitter())],
  ])('refuses %s', (_, value) => {
    const call = () => bindEmitter(value as EventEmitter)

    expect(call).toThrow(TypeError)
    expect(call).toThrow(/^bindEmitter: expected an EventEmitter or an EventTarget that can be changed, got /)
  })
})

describe('bindEmitter of an EventTarget', () => {
  it('runs listeners in the unit that binds; each way of removal works', () => {
    const target = new EventTarget()
    const controller = new AbortController()
    const seen: string[] = []
    const listener = () => seen.push(`function ${user.get()}`)
    const object = { handleEvent: () => seen.push(`object ${user.get()}`) }
    inUnitOf('ada', () => bindEmitter(target))

    target.addEventListener('message', listener)
    target.addEventListener('message', listener)
    target.addEventListener('message', object)
    target.addEventListener('message', () => seen.push(`once ${user.get()}`), { once: true })
    target.addEventListener('message', () => seen.push(`signal ${user.get()}`), { signal: controller.signal })
    target.dispatchEvent(new Event('message'))
    target.removeEventListener('message', listener)
    controller.abort()
    target.dispatchEvent(new Event('message'))

    expect(seen).toEqual(['function ada', 'object ada', 'once ada', 'signal ada', 'object ada'])
  })

  it('binds the listeners of an abort', () => {
    const controller = new AbortController()
    const seen: string[] = []
    inUnitOf('ada', () => bindEmitter(controller.signal))
    controller.signal.addEventListener('abort', () => seen.push(user.get()))

    inUnitOf('grace', () => controller.abort())

    expect(seen).toEqual(['ada'])
  })

  it.each<[name: string, add: (port: MessageChannel['port1'], listener: () => void) => unknown]>([
    ['on', (port, listener) => port.on('message', listener)],
    ['addEventListener', (port, listener) => port.addEventListener('message', listener)],
    ['onmessage', (port, listener) => Object.assign(port, { onmessage: listener })],
  ])('binds the messages of a port: %s', async (_, add) => {
    const { port1, port2 } = new MessageChannel()
    onTestFinished(() => port1.close())
    const { promise, resolve } = Promise.withResolvers<string>()
    inUnitOf('ada', () => bindEmitter(port2))
    add(port2, () => resolve(user.get()))
    port2.start()

    inUnitOf('grace', () => port1.postMessage('hello'))

    expect(await promise).toBe('ada')
  })

  it('restores the target', () => {
    const target = new EventTarget()
    const seen: string[] = []
    target.addEventListener('message', () => seen.push(user.get()))

    inUnitOf('ada', () => bindEmitter(target))[Symbol.dispose]()
    target.dispatchEvent(new Event('message'))

    expect([seen, Reflect.ownKeys(target)]).toEqual([['guest'], Reflect.ownKeys(new EventTarget())])
  })
})

describe('bindEmitter of a WebSocket', () => {
  async function listen(onConnection: (socket: WsClient, name: string) => void): Promise<[WebSocketServer, string]> {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    onTestFinished(() => server.close())
    server.on('connection', (socket, request) => onConnection(socket, request.url?.slice(1) ?? ''))
    await once(server, 'listening')
    return [server, `ws://127.0.0.1:${(server.address() as AddressInfo).port}`]
  }

  it('binds all events of ws: on, addEventListener, onmessage and close', async () => {
    const closed = Promise.withResolvers<string>()
    const [, url] = await listen((socket, name) => {
      inUnitOf(name, () => bindEmitter(socket))
      const reply = (way: string) => socket.send(`${way} ${user.get()}`)
      socket.on('message', () => reply('on'))
      socket.once('message', () => reply('once'))
      socket.addEventListener('message', () => reply('addEventListener'))
      Object.assign(socket, { onmessage: () => reply('onmessage') })
      socket.on('close', () => closed.resolve(user.get()))
    })

    const client = new WsClient(`${url}/ada`)
    const replies: string[] = []
    client.on('message', (data: Buffer) => replies.push(String(data)))
    await once(client, 'open')
    client.send('hello')
    while (replies.length < 4) await once(client, 'message')
    client.close()

    expect([replies, await closed.promise]).toEqual([
      ['on ada', 'once ada', 'addEventListener ada', 'onmessage ada'],
      'ada',
    ])
  })

  it('binds the listeners that graphql-ws adds: each connection has its own unit', async () => {
    const schema = new GraphQLSchema({
      query: new GraphQLObjectType({
        name: 'Query',
        fields: { viewer: { type: GraphQLString, resolve: async () => user.get() } },
      }),
    })
    const [server, url] = await listen((socket, name) => inUnitOf(name, () => bindEmitter(socket)))
    // The functions of the same copy of graphql as the schema.
    useServer({ schema, execute, parse, subscribe, validate }, server)

    const viewers = await Promise.all(
      ['ada', 'grace'].map(async (name) => {
        const client = createClient({ url: `${url}/${name}`, webSocketImpl: WsClient })
        onTestFinished(() => void client.dispose())
        const results = []
        for await (const { data } of client.iterate({ query: '{ viewer }' })) results.push(data?.['viewer'])
        return results
      }),
    )

    expect(viewers).toEqual([['ada'], ['grace']])
  })
})
