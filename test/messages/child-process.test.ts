import { exec, execFile, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ContextVar, runInScope } from 'logical-context'
import { childContext } from 'logical-context/messages/child-process'
import { describeMessages } from 'logical-context/testing'
import { requestId, TraceContext, traceContext } from 'logical-context/variables'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { children, type Seen, tenant, user } from './children/context.ts'

const file = (name: string) => fileURLToPath(new URL(`children/${name}.ts`, import.meta.url))
const execArgv = ['--conditions=logical-context-source']
const args = [...execArgv, file('main')]
const trace = new TraceContext()
const isTraced = { traceId: trace.traceId, parent: trace.spanId }

/** Runs `fn` as a request of ann at acme. */
function asRequest<R>(fn: () => R): R {
  return runInScope(() => {
    tenant.set('acme')
    user.set('ann')
    requestId.set('r-1')
    traceContext.set(trace)
    return fn()
  })
}

const read = (output: string) =>
  output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Seen)

describe('on the channel of a child that sends each message back', () => {
  const echo = "process.on('message', (message) => process.send(message))"
  const child = spawn(process.execPath, ['-e', echo], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  afterAll(() => void child.kill())

  describeMessages({ describe, it, expect }, 'the messages of node:child_process', {
    retries: 'none',
    async open(options) {
      const context = childContext({ onFailure() {}, ...options })
      const waiting: unknown[] = []
      let listen: (message: unknown) => unknown = (message) => waiting.push(message)
      const onMessage = (message: unknown) => listen(message)
      child.on('message', onMessage)
      return {
        enqueue: async (data, policy) => child.send(context.enclose(data, policy)),
        enqueueRaw: async (data, fields) => child.send({ data, logicalContext: fields }),
        async work(handler) {
          listen = context.onMessage(handler)
          waiting.splice(0).forEach(listen)
        },
        closeWorkers: (closeOptions) => context.close(closeOptions),
        close: async () => child.off('message', onMessage),
      }
    },
  })
})

describe('childContext, by the environment', () => {
  it('a child of spawn has the values, the request id and the trace of the code that started it', async () => {
    const child = asRequest(() => spawn(process.execPath, args, { env: children.env() }))

    expect(read(await text(child.stdout))).toEqual([
      { tenant: 'acme', user: 'ann', requestId: 'r-1', policy: 'inherit', ...isTraced },
    ])
  })

  it('a child of exec has what its policy passes', async () => {
    const command = [process.execPath, ...args].map((part) => `"${part}"`).join(' ')

    const { stdout } = await asRequest(() => promisify(exec)(command, { env: children.env({ only: [] }) }))

    expect(read(stdout)).toEqual([{ tenant: 'acme', requestId: 'r-1', policy: 'only', ...isTraced }])
  })

  it('a child of a child has the context of its own parent, in a new trace if it is isolated', async () => {
    const { stdout } = await asRequest(() =>
      promisify(execFile)(process.execPath, [...args, '--nested'], { env: children.env() }),
    )
    const [child, grandchild] = read(stdout)

    expect(child).toMatchObject({ user: 'ann', ...isTraced })
    expect(grandchild).toMatchObject({ tenant: 'acme', requestId: 'r-1', policy: 'isolate' })
    expect(grandchild?.user).toBeUndefined()
    expect(grandchild?.traceId).not.toBe(trace.traceId)
  })

  it('keeps the other variables, and none of an outer trace', () => {
    const env = asRequest(() => children.env('inherit', { PATH: '/bin', TRACEPARENT: 'outer', baggage: 'outer=1' }))

    expect(env).toMatchObject({ PATH: '/bin', BAGGAGE: 'tenant=acme,user=ann', X_REQUEST_ID: 'r-1' })
    expect(env['TRACEPARENT']).toMatch(new RegExp(`^00-${trace.traceId}-${trace.spanId}-`))
    expect(env['baggage']).toBeUndefined()
  })

  it('has nothing of an outer process in a merge with process.env, as cluster.fork makes it', async () => {
    const outer = { ...process.env, BAGGAGE: 'tenant=outer', tracestate: 'outer=1', TRACEPARENT: '00-outer' }

    const env: NodeJS.ProcessEnv = { ...outer, ...children.env('inherit', outer) }
    const { stdout } = await promisify(execFile)(process.execPath, args, { env })

    expect(Object.entries(env).filter(([, text]) => text?.includes('outer'))).toEqual([])
    expect(read(stdout)).toMatchObject([{ policy: 'inherit', requestId: env['X_REQUEST_ID'] }])
    expect(stdout).not.toContain('tenant')
  })

  it.each<[string, Record<string, string>]>([
    ['nothing', {}],
    ['malformed variables', { TRACEPARENT: '00-x', BAGGAGE: '%%%', X_REQUEST_ID: 'a b', LOGICAL_CONTEXT: '{}' }],
  ])('runs the child with %s in its environment', async (_, environment) => {
    expect(await children.run(() => [tenant.get(), requestId.get()], environment)).toEqual([
      undefined,
      expect.stringMatching(/^[\da-f-]{36}$/),
    ])
  })
})

describe('childContext, by messages', () => {
  it('opens each message of fork in a unit with the values of its sender, also after one that fails', async () => {
    const child = fork(file('answers'), { execArgv })
    onTestFinished(() => void child.kill())
    const answer = once(child, 'message')

    child.send(children.enclose('fail'))
    asRequest(() => child.send(children.enclose({ n: 1 }, { only: [user] })))
    const [seen] = (await answer) as [string]

    expect(read(seen)).toEqual([{ tenant: 'acme', user: 'ann', requestId: 'r-1', policy: 'only', ...isTraced }])
  })
})

describe('childContext', () => {
  it('passes the handle of a message to its listener', async () => {
    const seen = Promise.withResolvers<unknown>()
    const listener = children.onMessage((data, _scope, handle) => seen.resolve([data, handle]))
    const handle = createServer()

    listener(children.enclose({ n: 1 }), handle)

    expect(await seen.promise).toEqual([{ n: 1 }, handle])
  })

  it.each([
    ['share', () => children.env('share' as never), /childContext: expected a policy other than 'share'/],
    ['a variable that does not travel', () => children.env({ only: [new ContextVar('x')] }), /got 'x'/],
    ['an environment that is an array', () => children.env('inherit', [] as never), /childEnvironment: expected/],
    ['a listener that is not a function', () => children.onMessage('x' as never), /onMessage: expected a function/],
  ])('refuses %s', (_, call, message) => {
    expect(call).toThrow(message)
  })

  it('refuses a main that is not a function', async () => {
    await expect(children.run('x' as never)).rejects.toThrow(/run: expected a function/)
  })
})
