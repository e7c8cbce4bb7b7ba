import {
  type ClientOptions,
  credentials,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServerInterceptor,
  type ServiceDefinition,
} from '@grpc/grpc-js'
import { onTestFinished } from 'vitest'

const serialize = (message: string) => Buffer.from(message)
const deserialize = (bytes: Buffer) => bytes.toString()
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/shop.Orders/${name}`,
  requestStream,
  responseStream,
  requestSerialize: serialize,
  requestDeserialize: deserialize,
  responseSerialize: serialize,
  responseDeserialize: deserialize,
})

/** A service of text messages, with a method of each kind. */
export const service = {
  unary: method('unary', false, false),
  upload: method('upload', true, false),
  download: method('download', false, true),
  chat: method('chat', true, true),
} satisfies ServiceDefinition

/** Handlers may be async, although grpc-js does not await them. */
type Handler<T extends (...args: never[]) => void> = (...args: Parameters<T>) => unknown

export interface Implementation {
  unary?: Handler<handleUnaryCall<string, string>>
  upload?: Handler<handleClientStreamingCall<string, string>>
  download?: Handler<handleServerStreamingCall<string, string>>
  chat?: Handler<handleBidiStreamingCall<string, string>>
}

/** Starts a server on loopback that closes with the test; returns its port. */
export async function serve(implementation: Implementation, interceptors: ServerInterceptor[] = []): Promise<number> {
  const server = new Server({ interceptors })
  server.addService(service, implementation as never)
  onTestFinished(() => server.forceShutdown())
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
    if (error === null) resolve(port)
    else reject(error)
  })
  return promise
}

const Orders = makeGenericClientConstructor(service, 'Orders')

export type OrdersClient = InstanceType<typeof Orders>

/** A client that closes with the test. */
export function connectTo(target: string, options: Partial<ClientOptions> = {}): OrdersClient {
  const client = new Orders(target, credentials.createInsecure(), options)
  onTestFinished(() => client.close())
  return client
}
