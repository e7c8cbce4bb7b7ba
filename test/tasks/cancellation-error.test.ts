import { once } from 'node:events'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { ListQueuesCommand, SQSClient } from '@aws-sdk/client-sqs'
import { CanceledError } from 'axios'
import { TaskCancelledError } from 'cockatiel'
import { gather, race, runInScope, type Task, TaskGroup, withTaskGroup, withTimeout } from 'logical-context'
import { describe, expect, it, onTestFinished, vi } from 'vitest'

const gone = new Error('gone')
const boom = new Error('boom')
const grpc = Object.assign(new Error('1 CANCELLED: Cancelled on client'), { code: 1, details: '', metadata: {} })

/** As in the clients of OpenAI and Anthropic. */
class APIUserAbortError extends Error {}

/** What clients reject with for an aborted signal. */
const cancellations: [name: string, error: (signal: AbortSignal) => unknown][] = [
  ['the reason', (signal) => signal.reason],
  ['fetch', () => new DOMException('This operation was aborted', 'AbortError')],
  ['node', () => Object.assign(new Error('The operation was aborted'), { code: 'ABORT_ERR' })],
  ['the body of node:http', () => Object.assign(new Error('aborted'), { code: 'ECONNRESET' })],
  ['a stream', () => Object.assign(new Error('Premature close'), { code: 'ERR_STREAM_PREMATURE_CLOSE' })],
  ['a client that keeps only the message', (signal) => new Error((signal.reason as Error).message)],
  ['axios', () => new CanceledError()],
  ['gRPC', () => grpc],
  ['an error with the reason at the end of its causes', (signal) => caused(caused(signal.reason))],
  ['an error that a client’s error has caused', () => caused(new DOMException('aborted', 'AbortError'))],
  ['a cancelled query', () => Object.assign(new Error('canceling statement due to user request'), { code: '57014' })],
  ['superagent', () => Object.assign(new Error('Aborted'), { code: 'ABORTED' })],
  ['cockatiel', () => new TaskCancelledError()],
  ['a client whose errors have the names of their classes only', () => new APIUserAbortError('Request was aborted.')],
  ['a disposer that was cancelled too', (signal) => suppressing(new CanceledError(), signal.reason)],
  [
    'an error with another field of that name',
    (signal) => Object.assign(new Error('the query failed', { cause: signal.reason }), { suppressed: [] }),
  ],
  ['Promise.any', (signal) => new AggregateError([signal.reason, new CanceledError()])],
]
const failures: [name: string, error: unknown][] = [
  ['an exit code of 1', Object.assign(new Error('exit'), { code: 1 })],
  ['a circle of causes', circle()],
  ['a connection that its peer has reset', Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })],
  [
    'an error whose name throws',
    {
      get name() {
        throw new Error('no')
      },
    },
  ],
  ['Promise.any with a failure', new AggregateError([grpc, boom])],
  ['a disposer that failed after a cancellation', suppressing(boom, grpc)],
  ['no error', undefined],
]

describe.each(cancellations)('an error of an aborted call: %s', (_, errorFor) => {
  const stopped = ({ signal }: Pick<Task, 'signal'>) =>
    new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(errorFor(signal))))

  it('neither replaces nor joins the failure that caused the abort', async () => {
    await expect(gather([stopped, () => Promise.reject(boom), stopped])).rejects.toBe(boom)
    await expect(race([stopped, () => Promise.reject(boom)])).rejects.toBe(boom)
    await expect(
      withTaskGroup((group) => {
        group.spawn(stopped)
        group.spawn(() => Promise.reject(boom))
      }),
    ).rejects.toMatchObject({ errors: [boom] })
  })

  it('is not a late failure of withTimeout', async () => {
    const onError = vi.fn()
    const group = new TaskGroup({ onError })

    const call = runInScope(() => withTimeout(stopped, 1), { group })

    await expect(call).rejects.toMatchObject({ code: 'LCTX_TIMEOUT' })
    await group.drain()
    expect(onError).not.toHaveBeenCalled()
  })

  it('ends a task as cancelled, without onError', async () => {
    const onError = vi.fn()
    const group = new TaskGroup({ onError })
    const task = group.spawn(stopped)

    task.abort(gone)

    await expect(task.result()).rejects.toBeDefined()
    expect(onError).not.toHaveBeenCalled()
    expect(group.counters).toMatchObject({ ended: 1, failed: 0, cancelled: 1 })
  })

  it('is a failure if nothing was cancelled', async () => {
    const onError = vi.fn()
    const group = new TaskGroup({ onError })
    const error = errorFor(AbortSignal.abort(gone))

    await group
      .spawn(() => Promise.reject(error))
      .result()
      .catch(() => {})

    expect(onError).toHaveBeenCalledExactlyOnceWith(error, expect.anything())
    expect(group.counters).toMatchObject({ failed: 1, cancelled: 0 })
  })
})

describe('the body of a response that an abort breaks off', () => {
  it.each<[string, (url: string, signal: AbortSignal) => Promise<unknown>]>([
    [
      'of node:http',
      async (url, signal) => {
        const request = get(url, { signal })
        request.on('error', () => {})
        const [response] = (await once(request, 'response')) as [IncomingMessage]
        return text(response)
      },
    ],
    [
      'of the AWS SDK',
      async (url, abortSignal) => {
        const credentials = { accessKeyId: 'id', secretAccessKey: 'secret' }
        const client = new SQSClient({ endpoint: url, region: 'local', credentials, maxAttempts: 1 })
        return client.send(new ListQueuesCommand({}), { abortSignal })
      },
    ],
  ])('does not join the failure: %s', async (_name, read) => {
    const sent = Promise.withResolvers<void>()
    const server = createServer((_request, response) => {
      response.write('{', () => setTimeout(sent.resolve, 20))
    }).listen(0, '127.0.0.1')
    onTestFinished(() => server.closeAllConnections())
    onTestFinished(() => void server.close())
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

    const both = gather([({ signal }) => read(url, signal), () => sent.promise.then(() => Promise.reject(boom))])

    await expect(both).rejects.toBe(boom)
  })
})

describe.each(failures)('a failure after an abort: %s', (_, error) => {
  it('goes to onError', async () => {
    const onError = vi.fn()
    const group = new TaskGroup({ onError })
    const task = group.spawn(
      ({ signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(error))),
    )

    task.abort(gone)
    await task.result().catch(() => {})

    expect(onError).toHaveBeenCalledOnce()
    expect(group.counters).toMatchObject({ failed: 1, cancelled: 0 })
  })
})

function caused(cause: unknown): Error {
  return new Error('the query failed', { cause })
}

/** In the shape of a SuppressedError, which Node 22 does not have. */
function suppressing(error: unknown, suppressed: unknown): Error {
  return Object.assign(new Error('An error was suppressed.'), { name: 'SuppressedError', error, suppressed })
}

function circle(): Error {
  const error = new Error('circle')
  error.cause = error
  return error
}
