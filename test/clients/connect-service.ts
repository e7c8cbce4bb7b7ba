import { create, createFileRegistry } from '@bufbuild/protobuf'
import type { GenService } from '@bufbuild/protobuf/codegenv2'
import {
  file_google_protobuf_wrappers,
  FileDescriptorProtoSchema,
  type StringValueSchema,
} from '@bufbuild/protobuf/wkt'

import { type Client, createClient, type Interceptor, type ServiceImpl } from '@connectrpc/connect'
import {
  connectNodeAdapter,
  type ConnectNodeAdapterOptions,
  createConnectTransport,
  createGrpcTransport,
  Http2SessionManager,
} from '@connectrpc/connect-node'
import { Agent, createServer, type RequestListener } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import type { AddressInfo, Server } from 'node:net'
import { onTestFinished } from 'vitest'

type Method<Kind> = { methodKind: Kind; input: typeof StringValueSchema; output: typeof StringValueSchema }

const text = '.google.protobuf.StringValue'
const wrappers = 'google/protobuf/wrappers.proto'
const method = (name: string, clientStreaming: boolean, serverStreaming: boolean) => ({
  ...{ name, inputType: text, outputType: text, clientStreaming, serverStreaming },
})
const file = create(FileDescriptorProtoSchema, {
  name: 'shop.proto',
  package: 'shop',
  syntax: 'proto3',
  dependency: [wrappers],
  service: [
    {
      name: 'Orders',
      method: [
        method('Unary', false, false),
        method('Upload', true, false),
        method('Download', false, true),
        method('Chat', true, true),
      ],
    },
  ],
})
const registry = createFileRegistry(file, (name) => (name === wrappers ? file_google_protobuf_wrappers : undefined))

/** A service of text messages, with a method of each kind: the one of `grpc-service.ts` for Connect. */
export const Orders = registry.getService('shop.Orders') as GenService<{
  unary: Method<'unary'>
  upload: Method<'client_streaming'>
  download: Method<'server_streaming'>
  chat: Method<'bidi_streaming'>
}>

/** How a client and a server connect: the protocol, and the version of HTTP. */
export const transports = ['Connect over HTTP/1.1', 'Connect over HTTP/2', 'gRPC over HTTP/2'] as const
export type TransportName = (typeof transports)[number]

export type Implementation = Partial<ServiceImpl<typeof Orders>>

export interface ServeOptions extends Omit<ConnectNodeAdapterOptions, 'routes'> {
  transport?: TransportName
  /** A middleware of the server. */
  wrap?: (listener: RequestListener) => RequestListener
}

/** Starts a server on loopback that closes with the test; returns its address. */
export async function serve(
  implementation: Implementation,
  { transport = 'Connect over HTTP/1.1', wrap = (listener) => listener, ...options }: ServeOptions = {},
): Promise<{ url: string; server: Server }> {
  const adapter = connectNodeAdapter({ ...options, routes: (router) => router.service(Orders, implementation) })
  const listener = wrap(adapter)
  const server = transport.endsWith('/2') ? createHttp2Server(listener as never) : createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}

export type OrdersClient = Client<typeof Orders>

/** A client that closes with the test. */
export function connectTo(
  baseUrl: string,
  interceptors: Interceptor[] = [],
  transport: TransportName = 'Connect over HTTP/1.1',
): OrdersClient {
  if (transport === 'Connect over HTTP/1.1') {
    const agent = new Agent({ keepAlive: false })
    return createClient(
      Orders,
      createConnectTransport({ baseUrl, interceptors, httpVersion: '1.1', nodeOptions: { agent } }),
    )
  }
  const sessionManager = new Http2SessionManager(baseUrl)
  onTestFinished(() => sessionManager.abort())
  const options = { baseUrl, interceptors, sessionManager }
  return createClient(
    Orders,
    transport === 'gRPC over HTTP/2'
      ? createGrpcTransport(options)
      : createConnectTransport({ ...options, httpVersion: '2' }),
  )
}

/** A stream of messages. */
export async function* streamOf(...values: string[]): AsyncGenerator<{ value: string }> {
  for (const value of values) yield { value }
}

/** The texts of a stream. */
export async function textsOf(stream: AsyncIterable<{ value: string }>): Promise<string[]> {
  const texts: string[] = []
  for await (const { value } of stream) texts.push(value)
  return texts
}
