import type { RequestScope } from 'logical-context'
import { Messages } from 'logical-context/messages/message'
import { describe, expect, it } from 'vitest'

/** Runs one attempt until its signal aborts. */
function openJob(messages: Messages, begin: (scope: RequestScope) => void) {
  return messages.acknowledge({ queue: 'jobs', id: 'j-1' }, async (scope) => {
    begin(scope)
    const { signal } = scope
    // A deadline of the next millisecond may be over.
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
    throw signal.reason
  })
}

describe('Messages.acknowledge', () => {
  it('leaves a job that a close aborted to redelivery, and does not report it as a failure', async () => {
    const failures: unknown[] = []
    const messages = new Messages('test', { onFailure: (error) => failures.push(error) })
    const begun = Promise.withResolvers<void>()
    const outcome = openJob(messages, () => begun.resolve())
    await begun.promise

    const report = await messages.close({ timeoutMs: 0, graceMs: 1000 })

    expect(await outcome).toBe('abandoned')
    expect(report.unfinishedJobs).toMatchObject([{ id: 'j-1', ended: true }])
    expect(failures).toEqual([])
  })

  it('does not report a job whose message was lost', async () => {
    const failures: unknown[] = []
    const messages = new Messages('test', { onFailure: (error) => failures.push(error) })
    const lost = new AbortController()

    const outcome = await messages.acknowledge({ queue: 'jobs', signal: lost.signal }, ({ signal }) => {
      lost.abort(new Error('the lock is lost'))
      throw signal.reason
    })

    expect([outcome, failures]).toEqual(['failed', []])
  })

  it('reports a job that failed after the abort, and one whose deadline is over', async () => {
    const failures: unknown[] = []
    const onFailure = (error: unknown) => failures.push((error as Error).message)
    const messages = new Messages('test', { onFailure })
    const lost = AbortSignal.abort(new Error('the lock is lost'))

    const outcomes = [
      await messages.acknowledge({ queue: 'jobs', signal: lost }, () => Promise.reject(new Error('no paper'))),
      await openJob(messages, (scope) => scope.expireAt(Date.now() + 1)),
    ]

    expect(outcomes).toEqual(['failed', 'failed'])
    expect(failures).toEqual(['no paper', expect.stringContaining('deadline')])
  })
})

describe('Messages.close', () => {
  it('does not wait for the job that calls it', async () => {
    const messages = new Messages('test')

    const report = await messages.process({ queue: 'jobs' }, () => messages.close({ timeoutMs: 60_000 }))

    expect(report).toMatchObject({ unfinished: [], unfinishedJobs: [] })
  })

  it('waits until the engine has stopped, within the same limit', async () => {
    const events: string[] = []
    const messages = new Messages('test')
    const stopped = Promise.withResolvers<void>()

    const closed = messages.close({ timeoutMs: 60_000 }, stopped.promise).then(() => events.push('closed'))
    await new Promise((resolve) => setImmediate(resolve))
    events.push('stopped')
    stopped.resolve()
    await closed
    const late = await messages.close({ timeoutMs: 1, graceMs: 0 }, new Promise(() => {}))

    expect(events).toEqual(['stopped', 'closed'])
    expect(late.unfinishedJobs).toEqual([])
  })

  it('waits for the jobs also if the engine fails to stop, and then throws its failure', async () => {
    const messages = new Messages('test')
    const job = Promise.withResolvers<void>()
    const events: string[] = []
    const done = messages.process({ queue: 'jobs' }, () => job.promise).then(() => events.push('job'))

    const closed = messages.close({ timeoutMs: 60_000 }, Promise.reject(new Error('no connection')))
    const failure = closed.catch((error: unknown) => {
      events.push('closed')
      return error
    })
    await new Promise((resolve) => setImmediate(resolve))
    job.resolve()

    expect(await failure).toMatchObject({ message: 'no connection' })
    await done
    expect(events).toEqual(['job', 'closed'])
  })
})
