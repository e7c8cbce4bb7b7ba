import * as api from '@opentelemetry/api'
import { Metadata, status } from '@grpc/grpc-js'
import { spawn } from 'logical-context'
import { grpcServerInterceptor } from 'logical-context/middleware/grpc'
import { describe, expect, it } from 'vitest'
import { connectTo, type Implementation, type OrdersClient, serve } from '../../clients/grpc-service.ts'
import { setUpSdk, tree } from './sdk.ts'
import { caller, sealed } from './shop.ts'

const { ERROR, UNSET } = api.SpanStatusCode

async function connect(implementation: Implementation): Promise<OrdersClient> {
  return connectTo(`127.0.0.1:${await serve(implementation, [grpcServerInterceptor()])}`)
}

/** Resolves with the code that the client sees when the unit of the server has ended. */
async function codeOf(client: OrdersClient, metadata = new Metadata()): Promise<number> {
  const end = sealed(1)
  const { promise, resolve } = Promise.withResolvers<number>()
  client['unary']?.('tea', metadata, (error: { code: number } | null) => resolve(error?.code ?? status.OK))
  await end
  return promise
}

const isFault: Record<keyof typeof status, boolean> = {
  OK: false,
  CANCELLED: false,
  UNKNOWN: true,
  INVALID_ARGUMENT: false,
  DEADLINE_EXCEEDED: true,
  NOT_FOUND: false,
  ALREADY_EXISTS: false,
  PERMISSION_DENIED: false,
  RESOURCE_EXHAUSTED: false,
  FAILED_PRECONDITION: false,
  ABORTED: false,
  OUT_OF_RANGE: false,
  UNIMPLEMENTED: true,
  INTERNAL: true,
  UNAVAILABLE: true,
  DATA_LOSS: true,
  UNAUTHENTICATED: false,
}

describe('openTelemetry, calls of gRPC', () => {
  it.each(Object.entries(isFault))('records the status %s; an error of the server: %s', async (name, fault) => {
    const { span } = setUpSdk({ requestSpans: true })
    const code = status[name as keyof typeof status]
    const client = await connect({ unary: (_, callback) => callback(code === status.OK ? null : { code }, 'done') })

    expect(await codeOf(client)).toBe(code)

    const call = span('shop.Orders/unary')
    expect(call.kind).toBe(api.SpanKind.SERVER)
    expect(call.status).toEqual({ code: fault ? ERROR : UNSET })
    expect(call.attributes).toMatchObject({
      'rpc.system.name': 'grpc',
      'rpc.method': 'shop.Orders/unary',
      'rpc.response.status_code': name,
    })
    expect(call.attributes['error.type']).toBe(fault ? name : undefined)
  })

  it('puts the call below its caller, and tasks below the call', async () => {
    const { span, spans } = setUpSdk({ requestSpans: true })
    const client = await connect({
      unary: (_, callback) => {
        spawn(() => {}, { name: 'inherit' })
        spawn(() => {}, { name: 'isolate', policy: 'isolate' })
        callback(null, 'done')
      },
    })
    const metadata = new Metadata()
    metadata.set('traceparent', `00-${caller.traceId}-${caller.spanId}-01`)

    await codeOf(client, metadata)

    expect(span('shop.Orders/unary').parentSpanContext).toMatchObject({ ...caller, isRemote: true })
    expect(tree(spans())).toMatchObject({
      inherit: { parent: 'shop.Orders/unary' },
      isolate: { links: ['shop.Orders/unary'] },
    })
  })

  it('records that the client cancelled, which is not an error', async () => {
    const { span } = setUpSdk({ requestSpans: true })
    const started = Promise.withResolvers<void>()
    const client = await connect({ download: () => started.resolve() })
    const end = sealed(1)

    const call = client['download']?.('tea').on('error', () => {})
    await started.promise
    call.cancel()
    await end

    expect(span('shop.Orders/download').status).toEqual({ code: UNSET })
    expect(span('shop.Orders/download').attributes).toMatchObject({
      'rpc.response.status_code': 'CANCELLED',
      'logical_context.abort_reason': 'LCTX_CLIENT_GONE',
    })
  })
})
