import type { Client, ServerOptions } from '@grpc/grpc-js'
import type { FastifyReplyFromHooks } from '@fastify/reply-from'
import { contextFetch } from 'logical-context/clients/fetch'
import { grpcClientInterceptor } from 'logical-context/clients/grpc'
import { rewriteRequestHeaders } from 'logical-context/clients/reply-from'
import { undiciInterceptor } from 'logical-context/clients/undici'
import { grpcServerInterceptor } from 'logical-context/middleware/grpc'
import { type Dispatcher, fetch as undiciFetch } from 'undici'

// What we give fits what the libraries take: this file is compiled and not run.
export const interceptor: Dispatcher.DispatcherComposeInterceptor = undiciInterceptor()
export const asFetch: typeof fetch = contextFetch
export const ofUndici = contextFetch.with({ fetch: undiciFetch })
export const rewrite: FastifyReplyFromHooks['rewriteRequestHeaders'] = rewriteRequestHeaders()
export const client: ConstructorParameters<typeof Client>[2] = { interceptors: [grpcClientInterceptor()] }
export const server: ServerOptions = { interceptors: [grpcServerInterceptor()] }

// @ts-expect-error A list is required, because a string is a list of letters.
contextFetch.with({ values: 'example.com' })
// @ts-expect-error Only hosts decide about the trace.
contextFetch.with({ trace: [{ host: 'example.com', only: [] }] })
