import { Messages } from 'logical-context/messages/message'
import { kafkaContext } from 'logical-context/messages/kafka'
import { natsContext } from 'logical-context/messages/nats'
import { sqsContext } from 'logical-context/messages/sqs'
import { ContextVar, runInScope } from 'logical-context'
import { w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { message, requestId, TraceContext, traceContext } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import { setUpSdk, tree } from '../bridges/opentelemetry/sdk.ts'

const user = new ContextVar<string>('user')
const propagators = [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { user } })]
const names = ['ann', 'bob']
const traces = Object.fromEntries(names.map((name) => [name, new TraceContext()]))
const links = names.map((name) => ({ traceId: traces[name]?.traceId, spanId: traces[name]?.spanId }))

function as<R>(name: string, fn: () => R): R {
  return runInScope(
    () => {
      user.set(name)
      requestId.set(`r-${name}`)
      traceContext.set(traces[name] as TraceContext)
      return fn()
    },
    { name },
  )
}

const seen = () => [user.get(), requestId.get(), traceContext.get()?.traceId]
const expected = names.map((name) => [name, `r-${name}`, traces[name]?.traceId])

/** What a batch sees, and each of its messages. */
const handler = async (items: readonly { run: (fn: () => unknown) => Promise<unknown> }[]) => ({
  batch: [user.get(), message.get()?.links, traceContext.get()?.link],
  each: await Promise.all(items.map((item) => item.run(seen))),
  after: user.get(),
})
const result = { batch: [undefined, links, undefined], each: expected, after: undefined }

describe('a batch', () => {
  it('is a unit without values that links to all senders, and enters the context of each message', async () => {
    const messages = new Messages('test', { propagators })
    const batch = names.map((name) => {
      const fields = as(name, () => messages.capture('orders'))
      return { message: name, received: { queue: 'orders', id: name, fields } }
    })

    expect(await messages.processBatch('orders', batch, handler)).toEqual(result)
    expect(await messages.processBatch('orders', batch, (items) => items.map((item) => item.message))).toEqual(names)
  })

  it('has one span with links to all senders, and spans for its messages', async () => {
    const sdk = setUpSdk({ requestSpans: true })
    const messages = new Messages('test', { propagators })
    const batch = names.map((name) => {
      const fields = runInScope(() => messages.capture(name), { name })
      return { message: name, received: { queue: name, fields } }
    })

    await messages.processBatch('orders', batch, (items) => Promise.all(items.map(({ run }) => run(() => {}))))

    expect(tree(sdk.spans())).toMatchObject({
      'process orders': { links: ['create ann', 'create bob'] },
      'process ann': { parent: 'create ann' },
      'process bob': { parent: 'create bob' },
    })
  })

  it('has one trace and a span of its own for each run of a message', async () => {
    const messages = new Messages('test', { propagators })
    const fields = as('ann', () => messages.capture('orders'))
    const batch = [{ message: 'ann', received: { queue: 'orders', fields } }]
    const spans: (TraceContext | undefined)[] = []

    await messages.processBatch('orders', batch, async ([item]) => {
      for (let i = 0; i < 2; i++) await item?.run(() => spans.push(traceContext.get()))
    })

    const [first, second] = spans
    expect([first?.traceId, first?.parentSpanId]).toEqual([second?.traceId, second?.parentSpanId])
    expect(second?.spanId).not.toBe(first?.spanId)
  })

  it('aborts with the last of its messages, and each message with its own', async () => {
    const messages = new Messages('test', { propagators })
    const lost = names.map(() => new AbortController())
    const batch = names.map((name, i) => ({
      message: name,
      received: { queue: 'orders', fields: {}, ...(lost[i] && { signal: lost[i].signal }) },
    }))

    const seen = await messages.processBatch('orders', batch, async (items, { signal }) => {
      const aborted: unknown[] = []
      for (const controller of lost) {
        controller.abort('lost')
        aborted.push(signal.aborted, await Promise.all(items.map(({ run }) => run((own) => own.signal.aborted))))
      }
      return aborted
    })

    expect(seen).toEqual([false, [true, false], true, [true, true]])
  })

  it('fails with its handler', async () => {
    const messages = new Messages('test', { propagators })

    await expect(messages.processBatch('orders', [], () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  })

  it('of Kafka has the context of each record', async () => {
    const kafka = kafkaContext({ propagators })
    const records = names.map((name, offset) => ({
      headers: as(name, () => kafka.headers('orders')),
      offset: String(offset),
    }))

    expect(await kafka.processBatch('orders', records, handler)).toEqual(result)
  })

  it('of SQS has the context of each message', async () => {
    const sqs = sqsContext({ propagators })
    const received = names.map((name) => ({
      MessageId: name,
      MessageAttributes: as(name, () => sqs.attributes('orders')),
    }))

    expect(await sqs.processBatch('orders', received, handler)).toEqual(result)
  })

  it('of NATS is acknowledged as a whole, or delivered again as a whole', async () => {
    const nats = natsContext({ propagators })
    const answers: string[] = []
    const info = { stream: 's', streamSequence: 1, deliveryCount: 1 }
    const batch = names.map((name) => ({
      subject: 'orders',
      headers: new Map(Object.entries(as(name, () => nats.messages.capture('orders')))),
      info,
      ack: () => answers.push(`ack ${name}`),
      nak: () => answers.push(`nak ${name}`),
    })) as never

    expect(await nats.processBatch(batch, handler)).toEqual(result)
    await expect(nats.processBatch(batch, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(answers).toEqual(['ack ann', 'ack bob', 'nak ann', 'nak bob'])
  })
})
