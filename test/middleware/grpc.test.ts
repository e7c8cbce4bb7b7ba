import { setTimeout as delay } from 'node:timers/promises'
import { Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js'
import { ContextVar, spawn } from 'logical-context'
import { grpcServerInterceptor } from 'logical-context/middleware/grpc'
import { requestTimeout, xRequestId, w3cBaggage, w3cTraceContext } from 'logical-context/propagators'
import { deadline, requestId as requestIdVariable, traceContext } from 'logical-context/variables'
import { describe, expect, it, vi } from 'vitest'
import { connectTo, type Implementation, type OrdersClient, serve } from '../clients/grpc-service.ts'

const user = new ContextVar<string>('user')
const mark = new ContextVar<string>('mark')
const propagators = [w3cTraceContext(), w3cBaggage({ members: { user } }), xRequestId()]

const ids = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'x-request-id': 'request-1' }

function metadataOf(fields: Record<string, string>): Metadata {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(fields)) metadata.set(name, value)
  return metadata
}

function unary(client: OrdersClient, fields: Record<string, string> = {}, options = {}): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  client['unary']?.('tea', metadataOf(fields), options, (error: Error | null, reply: string) =>
    error === null ? resolve(reply) : reject(error),
  )
  return promise
}

/** What the unit has, as a reply. */
const tell = () => [user.get(), requestIdVariable.get(), traceContext.get()?.traceId, mark.get()].map(String).join(' ')

describe('grpcServerInterceptor', () => {
  it('opens a unit with the values of a trusted peer', async () => {
    const interceptor = grpcServerInterceptor({ propagators, trust: 'loopback' })
    const port = await serve({ unary: (_call, callback) => callback(null, tell()) }, [interceptor])

    const reply = await unary(connectTo(`127.0.0.1:${port}`), { ...ids, baggage: 'user=ann' })

    expect(reply).toBe('ann request-1 0af7651916cd43dd8448eb211c80319c undefined')
  })

  it('takes no values from a peer that is not trusted, logs that once, and counts', async () => {
    const onRefusal = vi.fn()
    const interceptor = grpcServerInterceptor({ propagators, onRefusal })
    const port = await serve({ unary: (_call, callback) => callback(null, tell()) }, [interceptor])
    const client = connectTo(`127.0.0.1:${port}`)

    const replies = [await unary(client, { baggage: 'user=ann' }), await unary(client, { baggage: 'user=ann' })]

    expect(replies.map((reply) => reply.split(' ')[0])).toEqual(['undefined', 'undefined'])
    expect(onRefusal).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ field: 'baggage', address: '127.0.0.1' }),
    )
    expect(interceptor.inbound.peers.counters.refused).toBe(2)
  })

  it('decides about trust by the verified certificate of the peer', async () => {
    const trust = vi.fn(() => false)
    const port = await serve({ unary: (_call, callback) => callback(null, tell()) }, [grpcServerInterceptor({ trust })])

    await unary(connectTo(`127.0.0.1:${port}`))

    expect(trust.mock.calls).toEqual([
      [
        {
          headers: expect.any(Object),
          socket: expect.objectContaining({ remoteAddress: '127.0.0.1', authorized: false }),
        },
      ],
    ])
  })

  it('sets a request id for every call', async () => {
    const port = await serve({ unary: (_call, callback) => callback(null, tell()) }, [grpcServerInterceptor()])

    expect((await unary(connectTo(`127.0.0.1:${port}`))).split(' ')[1]).toMatch(/^[0-9a-f-]{36}$/)
  })

  const implementation: Implementation = {
    unary: async (_call, callback) => {
      mark.set(`unary of ${user.get()}`)
      await delay(2)
      callback(null, tell())
    },
    upload: (call, callback) => {
      mark.set(`upload of ${user.get()}`)
      call.on('data', () => mark.set(`${mark.get()}+`))
      call.on('end', () => callback(null, tell()))
    },
    download: async (call) => {
      mark.set(`download of ${user.get()}`)
      for (let i = 0; i < 3; i++) {
        await delay(1)
        call.write(tell())
      }
      call.end()
    },
    chat: (call) => {
      mark.set(`chat of ${user.get()}`)
      call.on('data', () => call.write(tell()))
      call.on('end', () => call.end())
    },
  }
  const replyOf = async (client: OrdersClient, method: string, fields: Record<string, string>): Promise<string> => {
    if (method === 'unary') return unary(client, fields)
    const metadata = metadataOf(fields)
    if (method === 'upload') {
      const { promise, resolve } = Promise.withResolvers<string>()
      const call = client['upload']?.(metadata, (_error: unknown, reply: string) => resolve(reply))
      for (const message of ['a', 'b']) call.write(message)
      call.end()
      return promise
    }
    const call = method === 'download' ? client['download']?.('tea', metadata) : client['chat']?.(metadata)
    const replies: string[] = []
    call.on('data', (reply: string) => replies.push(reply))
    if (method === 'chat') {
      call.write('a')
      await delay(2)
      call.write('b')
      call.end()
    }
    await new Promise((resolve) => call.on('end', resolve))
    return replies.at(-1) ?? ''
  }

  it.each(['unary', 'upload', 'download', 'chat'])('keeps units apart, thirty at once: %s', async (method) => {
    const port = await serve(implementation, [grpcServerInterceptor({ propagators, trust: 'loopback' })])
    const client = connectTo(`127.0.0.1:${port}`)
    const names = Array.from({ length: 30 }, (_, i) => `user-${i}`)

    const replies = await Promise.all(names.map((name) => replyOf(client, method, { baggage: `user=${name}` })))

    const own = names.map((name) => [name, `${method} of ${name}${method === 'upload' ? '++' : ''}`])
    expect(replies.map((reply) => [reply.split(' ')[0], reply.split(' ').slice(3).join(' ')])).toEqual(own)
  })

  it('calls the callback of a write in the unit, of thirty at once', async () => {
    const strays: unknown[] = []
    const port = await serve(
      {
        download: (call) => {
          const name = user.get()
          call.write('tea', () => {
            if (user.get() !== name) strays.push([name, user.get()])
            call.end()
          })
        },
      },
      [grpcServerInterceptor({ propagators, trust: 'loopback' })],
    )
    const client = connectTo(`127.0.0.1:${port}`)

    await Promise.all(Array.from({ length: 30 }, (_, i) => replyOf(client, 'download', { baggage: `user=user-${i}` })))

    expect(strays).toEqual([])
  })

  it('aborts what is tied to the request when the client cancels, and not when the call has ended', async () => {
    const reasons: unknown[] = []
    const started = Promise.withResolvers<void>()
    const tied = () =>
      spawn(({ signal }) => new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(void reasons.push(signal.reason)))
        setTimeout(resolve, 100)
      }), { name: 'tied', cancelWith: 'request' }) // prettier-ignore
    const interceptor = grpcServerInterceptor()
    const port = await serve(
      {
        unary: (_call, callback) => {
          tied()
          callback(null, 'done')
        },
        download: () => {
          tied()
          started.resolve()
        },
      },
      [interceptor],
    )
    const client = connectTo(`127.0.0.1:${port}`)

    await unary(client)
    const call = client['download']?.('tea')
    call.on('error', () => {})
    await started.promise
    call.cancel()
    await interceptor.inbound.group.drain({ timeoutMs: 1000 })

    expect(reasons).toEqual([expect.objectContaining({ code: 'LCTX_CLIENT_GONE' })])
  })

  it('aborts when the deadline of the call is over', async () => {
    const aborted = Promise.withResolvers<unknown>()
    const port = await serve(
      {
        unary: (call, callback) => {
          if (call.getDeadline() === Number.POSITIVE_INFINITY) {
            callback(null, 'connected')
            return
          }
          spawn(({ signal }) => new Promise<void>((resolve) => {
            signal.addEventListener('abort', () => resolve(aborted.resolve(signal.reason)))
          }), { name: 'tied', cancelWith: 'request' }) // prettier-ignore
        },
      },
      [grpcServerInterceptor()],
    )

    const client = connectTo(`127.0.0.1:${port}`)
    await unary(client)

    const call = unary(client, {}, { deadline: Date.now() + 100 })

    await expect(call).rejects.toMatchObject({ code: 4 })
    expect(await aborted.promise).toMatchObject({ code: expect.stringMatching(/LCTX_TIMEOUT|LCTX_CLIENT_GONE/) })
  })

  it('puts the deadline of a trusted peer into the unit, where its propagator is listed', async () => {
    const left: (number | undefined)[] = []
    const port = await serve(
      {
        unary: (_call, callback) => {
          left.push((deadline.get() ?? Number.NaN) - Date.now())
          callback(null, 'done')
        },
      },
      [grpcServerInterceptor({ propagators: [...propagators, requestTimeout()], trust: 'loopback' })],
    )
    const client = connectTo(`127.0.0.1:${port}`)

    await unary(client, {}, { deadline: Date.now() + 5000 })
    await unary(client)

    expect(left[0]).toBeGreaterThan(4000)
    expect(left[0]).toBeLessThanOrEqual(5000)
    expect(left[1]).toBeNaN()
  })

  it('spawns tasks in its group, with the policy of its options', async () => {
    const seen: unknown[] = []
    const interceptor = grpcServerInterceptor({ propagators, trust: 'loopback', policy: 'isolate' })
    const port = await serve(
      {
        unary: (_call, callback) => {
          spawn(() => void seen.push(user.get()), { name: 'look' })
          callback(null, 'done')
        },
      },
      [interceptor],
    )

    await unary(connectTo(`127.0.0.1:${port}`), { baggage: 'user=ann' })
    await interceptor.inbound.group.drain({ timeoutMs: 1000 })

    expect(seen).toEqual([undefined])
  })

  it('runs the interceptors that are registered after it in the unit, both ways', async () => {
    const seen: string[] = []
    const look = (place: string) => seen.push(`${place} ${user.get()}`)
    const other: ServerInterceptor = (_method, call) =>
      new ServerInterceptingCall(call, {
        start(next) {
          next({
            onReceiveMetadata(metadata, pass) {
              look('metadata')
              pass(metadata)
            },
            onReceiveMessage(message, pass) {
              look('message')
              pass(message)
            },
          })
        },
        sendMessage(message, next) {
          look('reply')
          next(message)
        },
      })
    const ours = grpcServerInterceptor({ propagators, trust: 'loopback' })
    const port = await serve({ unary: (_call, callback) => callback(null, tell()) }, [ours, other])

    const reply = await unary(connectTo(`127.0.0.1:${port}`), { baggage: 'user=ann' })

    expect(reply).toMatch(/^ann /)
    expect(seen).toEqual(['metadata ann', 'message ann', 'reply ann'])
  })

  it('has the values where the stream of a call closes, after a reply and after a cancellation', async () => {
    const seen: unknown[] = []
    const port = await serve(
      {
        upload: (call, callback) => {
          call.resume().on('end', () => callback(null, 'done'))
          call.on('close', () => seen.push(`upload ${user.get()}`))
        },
        download: (call) => {
          call.write('part')
          call.on('close', () => seen.push(`download ${user.get()}`))
        },
      },
      [grpcServerInterceptor({ propagators, trust: 'loopback' })],
    )
    const client = connectTo(`127.0.0.1:${port}`)

    client['upload']?.(metadataOf({ baggage: 'user=ann' }), () => {}).end()
    await expect.poll(() => seen).toEqual(['upload ann'])
    const download = client['download']?.('tea', metadataOf({ baggage: 'user=bob' }))
    download.on('error', () => {}).on('data', () => download.cancel())

    await expect.poll(() => seen).toEqual(['upload ann', 'download bob'])
  })

  it('answers a call whose handler throws', async () => {
    const port = await serve(
      {
        unary: () => {
          throw new Error('broken')
        },
      },
      [grpcServerInterceptor()],
    )
    const call = unary(connectTo(`127.0.0.1:${port}`))

    await expect(call).rejects.toMatchObject({ code: 2 })
  })

  it('throws a TypeError for an option that is unknown', () => {
    expect(() => grpcServerInterceptor({ trusted: [] } as never)).toThrow(TypeError)
    expect(() => grpcServerInterceptor({ trusted: [] } as never)).toThrow(
      "grpcServerInterceptor: unknown option 'trusted'",
    )
  })
})
