import { setImmediate } from 'node:timers/promises'
import { b3 } from 'logical-context/propagators'
import { describeMessages, type EngineQueue } from 'logical-context/testing'
import { traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import { openEnvelope, withEnvelope } from '../../src/messages/envelope.ts'
import { Messages } from '../../src/messages/message.ts'

/** The smallest engine: an array of texts. It shows what an adapter does, and tests the trunk without a server. */
describeMessages({ describe, it, expect }, 'an engine by hand', {
  async open(options) {
    const messages = new Messages('by hand', options)
    const waiting: { text: string; attempt: number }[] = []
    let stopped = false
    const queue: EngineQueue = {
      async enqueue(data, policy) {
        waiting.push({ text: JSON.stringify(withEnvelope(data, messages.capture('jobs', policy))), attempt: 1 })
      },
      async enqueueRaw(data, fields) {
        waiting.push({ text: JSON.stringify({ ...data, logicalContext: fields }), attempt: 1 })
      },
      async work(handler) {
        const loop = async () => {
          while (!stopped) {
            const job = waiting.shift()
            if (job === undefined) {
              await setImmediate()
              continue
            }
            const { data, fields } = openEnvelope(JSON.parse(job.text) as Record<string, unknown>)
            const received = { queue: 'jobs', fields, attempt: job.attempt }
            await messages
              .process(received, (scope) => handler(data, scope))
              .catch(() => job.attempt < 2 && waiting.push({ ...job, attempt: 2 }))
          }
        }
        void loop()
        void loop()
      },
      closeWorkers(closeOptions) {
        stopped = true
        return messages.close(closeOptions)
      },
      async close() {
        stopped = true
      },
    }
    return queue
  },
})

describe('Messages', () => {
  it('has one trace for the attempts of a message that says only whether the trace is recorded', async () => {
    const messages = new Messages('by hand', { propagators: [b3()] })
    const attempt = () =>
      messages.process({ queue: 'jobs', uniqueId: 'u-1', fields: { b3: '0' } }, () => traceContext.get())

    const [first, second] = [await attempt(), await attempt()]

    expect(first?.sampling).toBe('deny')
    expect(second?.traceId).toBe(first?.traceId)
    expect(second?.spanId).not.toBe(first?.spanId)
  })

  it.each([
    ['no array of propagators', { propagators: {} }, /expected an array of propagators/],
    ['a policy of share', { policy: 'share' }, /by hand: expected a policy other than 'share'/],
    ['no policy', { policy: 'inherited' }, /by hand: option 'policy' expected .* got 'inherited'/],
    ['a trust that is not a boolean', { trust: 'loopback' }, /by hand: option 'trust' expected a boolean/],
    ['an unknown option', { name: 'x' }, /by hand: unknown option 'name'/],
  ])('refuses %s', (_, options, expected) => {
    expect(() => new Messages('by hand', options as never)).toThrow(expected)
  })
})
