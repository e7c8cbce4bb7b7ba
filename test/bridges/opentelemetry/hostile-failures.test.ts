import * as api from '@opentelemetry/api'
import { runInScope, TaskGroup } from 'logical-context'
import { describe, expect, it } from 'vitest'
import { setUpSdk } from './sdk.ts'

const fail = () => {
  throw new Error('trap')
}
const { proxy: revoked, revoke } = Proxy.revocable({}, {})
revoke()

/** Values that throw when they are inspected or converted to text. */
const hostile: [name: string, failure: unknown][] = [
  ['without a prototype', Object.create(null)],
  ['without a prototype, with a cause without one', Object.assign(Object.create(null), { cause: Object.create(null) })],
  ['whose properties throw', Object.defineProperties({}, { message: { get: fail }, code: { get: fail } })],
  ['whose stack throws', Object.defineProperty(new Error('boom'), 'stack', { get: fail })],
  ['whose code has no prototype', Object.assign(new Error('boom'), { code: Object.create(null) })],
  ['that has a toString that throws', { toString: fail }],
  ['that is a revoked proxy', revoked],
  ['that is a proxy whose traps throw', new Proxy({}, { get: fail, getPrototypeOf: fail, has: fail, ownKeys: fail })],
  ['that is a symbol', Symbol('boom')],
  ['that is undefined', undefined],
  ['that is null', null],
  ['that is a function', fail],
]

describe('openTelemetry, a failure', () => {
  it.each(hostile)('%s ends the span of its task, with an error status', async (_name, failure) => {
    const { span } = setUpSdk()
    const group = new TaskGroup({ onError: () => {} })

    await runInScope(async () => {
      const sync = group.spawn(
        () => {
          throw failure
        },
        { name: 'sync' },
      )
      const async = group.spawn(() => Promise.reject(failure), { name: 'async' })
      await Promise.allSettled([sync.result(), async.result()])
    })

    for (const name of ['sync', 'async']) {
      expect(span(name).status.code).toBe(api.SpanStatusCode.ERROR)
      expect(span(name).attributes['logical_context.task.outcome']).toBe('failed')
      expect(span(name).events.map((event) => event.name)).toEqual(['exception'])
    }
  })

  it.each(hostile)('%s ends the span of its job, with an error status', async (_name, failure) => {
    const { span } = setUpSdk({ requestSpans: true })
    const job = runInScope(() => Promise.reject(failure), { name: 'job' })

    await Promise.allSettled([job])

    expect(span('job').status.code).toBe(api.SpanStatusCode.ERROR)
    expect(span('job').events.map((event) => event.name)).toEqual(['exception'])
  })

  it.each(hostile)('%s ends the span of a job that was aborted with it', async (_name, failure) => {
    const { span } = setUpSdk({ requestSpans: true })

    runInScope((scope) => scope.abort(failure ?? 'stop'), { name: 'job' })

    expect(span('job').attributes).toHaveProperty(['logical_context.abort_reason'])
  })
})
