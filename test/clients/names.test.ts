import type { InterceptingCall, Interceptor } from '@grpc/grpc-js'
import { contextFetch } from 'logical-context/clients/fetch'
import { grpcClientInterceptor } from 'logical-context/clients/grpc'
import { inject } from 'logical-context/clients/inject'
import { rewriteRequestHeaders } from 'logical-context/clients/reply-from'
import { undiciInterceptor } from 'logical-context/clients/undici'
import { Agent } from 'undici'
import { expect, it, onTestFinished } from 'vitest'

it.each<[name: string, fn: (...args: never[]) => unknown]>([
  ['contextFetch', contextFetch],
  ['contextFetch', contextFetch.with({})],
  ['grpcClientInterceptor', grpcClientInterceptor()],
  ['inject', inject],
  ['inject', inject.with({})],
  ['rewriteRequestHeaders', rewriteRequestHeaders()],
  ['undiciInterceptor', undiciInterceptor()],
])('a returned function has the name of its factory: %s', (name, fn) => {
  expect(fn.name).toBe(name)
})

it('contextFetch has the length of fetch', () => {
  expect(contextFetch.length).toBe(fetch.length)
})

it('the interceptor of undici returns a function with the name and the length of the one it wraps', () => {
  const agent = new Agent()
  onTestFinished(() => agent.close())

  const dispatch = undiciInterceptor()(agent.dispatch)

  expect([dispatch.name, dispatch.length]).toEqual([agent.dispatch.name, agent.dispatch.length])
})

it('the interceptor of gRPC keeps the name and the length of start()', () => {
  class Call {
    start(_metadata: unknown, _listener: unknown): void {}
  }
  const nextCall: Parameters<Interceptor>[1] = () => new Call() as InterceptingCall

  const { start } = grpcClientInterceptor()({} as never, nextCall)

  expect([start.name, start.length]).toEqual(['start', 2])
})
