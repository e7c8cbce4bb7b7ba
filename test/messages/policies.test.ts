import { ContextVar, runInScope } from 'logical-context'
import { Messages, type MessagePolicy } from 'logical-context/messages/message'
import { json, w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { message, requestId } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'

const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
const user = new ContextVar<string>('user')
const transaction = new ContextVar<string>('transaction', { onSpawn: 'drop' })
const depth = new ContextVar<number>('depth', { onSpawn: (value) => value + 1 })
const secret = new ContextVar<string>('secret', { sensitive: true })
const asNumber = (value: unknown) => (typeof value === 'number' ? value : undefined)
const members = { tenant, user, transaction, depth: json(depth, asNumber) }
const propagators = [w3cBaggage({ members })]

const seen = () => [tenant.get(), user.get(), transaction.get(), depth.get(), message.get()?.policy]

/** Runs a job that a request enqueues, and returns what it reads. */
async function runJob(messages: Messages, policy?: MessagePolicy, ofUnit?: MessagePolicy): Promise<unknown> {
  const fields = runInScope(
    () => {
      tenant.set('acme')
      user.set('ann')
      transaction.set('t-1')
      depth.set(1)
      secret.set('hidden')
      return messages.capture('jobs', policy)
    },
    ofUnit === undefined ? {} : { policy: ofUnit },
  )
  expect(JSON.stringify(fields)).not.toContain('hidden')
  return messages.process({ queue: 'jobs', fields }, seen)
}

describe('the policy of a job', () => {
  it('keeps the rule of each variable under every policy', async () => {
    const messages = new Messages('test', { propagators })

    expect(await runJob(messages, 'inherit')).toEqual(['acme', 'ann', undefined, 2, 'inherit'])
    expect(await runJob(messages, 'isolate')).toEqual(['acme', undefined, undefined, 2, 'isolate'])
    expect(await runJob(messages, { only: [user] })).toEqual(['acme', 'ann', undefined, 2, 'only'])
    expect(await runJob(messages, { except: [user] })).toEqual(['acme', undefined, undefined, 2, 'except'])
  })

  it.each<[rule: string, ofCall: MessagePolicy | undefined, ofQueue: MessagePolicy | undefined, unit: MessagePolicy]>([
    ["the call's", 'isolate', 'inherit', 'inherit'],
    ["the queue's", undefined, 'isolate', 'inherit'],
    ["the unit's", undefined, undefined, 'isolate'],
    ["the call's, with variables", { only: [] }, { except: [] }, 'isolate'],
    ["the queue's, with variables", undefined, { only: [] }, { except: [] }],
    ["the unit's, with variables", undefined, undefined, { only: [] }],
  ])('is %s, before those that come after it', async (_, ofCall, ofQueue, unit) => {
    const messages = new Messages('test', { propagators, ...(ofQueue && { policy: ofQueue }) })

    expect(await runJob(messages, ofCall, unit)).toContain(
      typeof (ofCall ?? ofQueue ?? unit) === 'string' ? 'isolate' : 'only',
    )
  })

  it.each<[string, MessagePolicy]>([
    ['share', 'share' as never],
    ['a variable that does not travel', { only: [new ContextVar('undeclared')] }],
  ])('refuses %s also as the policy of the unit, unless the call or the queue has another one', async (_, ofUnit) => {
    const messages = new Messages('test', { propagators })

    await expect(runJob(messages, undefined, ofUnit)).rejects.toThrow(TypeError)
    expect(await runJob(messages, 'isolate', ofUnit)).toContain('isolate')
    expect(await runJob(new Messages('test', { propagators, policy: 'isolate' }), undefined, ofUnit)).toContain(
      'isolate',
    )
  })

  it('refuses a value that the codec of the receiver refuses, and one that is not a text', async () => {
    const messages = new Messages('test', { propagators })
    const fields = runInScope(() => {
      tenant.set(7 as never)
      depth.set('deep' as never)
      user.set('ann')
      return messages.capture('jobs')
    })

    expect(await messages.process({ queue: 'jobs', fields }, seen)).toEqual([
      undefined,
      'ann',
      undefined,
      undefined,
      'inherit',
    ])
    expect(messages.counters).toEqual({ refused: 1, malformed: 1, duplicate: 0, truncated: 0 })
  })

  it('is inherit by default', async () => {
    expect(await runJob(new Messages('test', { propagators }))).toContain('inherit')
  })

  it('cuts the values of a message to the budget, the first members first, and keeps the other fields', async () => {
    const messages = new Messages('test', { propagators: [...propagators, w3cTraceContext(), xRequestId()] })
    const fields = runInScope(() => {
      requestId.set('r-1')
      tenant.set('x'.repeat(4000))
      user.set('y'.repeat(4170))
      return messages.capture('jobs')
    })

    expect(Object.entries(fields).flat().join('').length).toBeLessThanOrEqual(8192)
    expect(messages.counters.truncated).toBe(1)
    expect(await messages.process({ queue: 'jobs', fields }, () => [requestId.get(), ...seen()])).toEqual([
      'r-1',
      'x'.repeat(4000),
      undefined,
      undefined,
      undefined,
      'inherit',
    ])
  })

  it('drops a value that is too long, and no other one', async () => {
    const messages = new Messages('test', { propagators })
    const fields = runInScope(() => {
      tenant.set('x'.repeat(9000))
      user.set('ann')
      return messages.capture('jobs')
    })

    expect(await messages.process({ queue: 'jobs', fields }, seen)).toContain('ann')
    expect([fields['baggage'], messages.counters.truncated]).toEqual(['user=ann', 1])
  })

  it('refuses a variable that is sensitive among those that travel', () => {
    expect(() => new Messages('test', { propagators: [w3cBaggage({ members: { secret } })] })).toThrow(/sensitive/)
  })
})
