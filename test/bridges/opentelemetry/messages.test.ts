import * as api from '@opentelemetry/api'
import { suppressTracing, unsuppressTracing } from '@opentelemetry/core'
import { ContextVar, runInScope, spawn } from 'logical-context'
import { channels } from 'logical-context/channels'
import { amqpContext } from 'logical-context/messages/amqp'
import { bullContext } from 'logical-context/messages/bullmq'
import { childContext } from 'logical-context/messages/child-process'
import { kafkaContext } from 'logical-context/messages/kafka'
import { type MessagePolicy, Messages } from 'logical-context/messages/message'
import { natsContext } from 'logical-context/messages/nats'
import { contextBoss } from 'logical-context/messages/pg-boss'
import { sqsContext } from 'logical-context/messages/sqs'
import { threadContext } from 'logical-context/messages/worker-threads'
import { b3, jaeger, w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { traceContext } from 'logical-context/variables'
import { describe, expect, it, onTestFinished } from 'vitest'
import { setUpSdk, tree } from './sdk.ts'

const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
const propagators = [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { tenant } })]

function openMessages(): Messages {
  return new Messages('test', { propagators }, 'kafka')
}

/** Enqueues a message in a unit. */
function enqueue(messages: Messages, policy?: MessagePolicy): Record<string, string> {
  return runInScope(
    () => {
      tenant.set('acme')
      return messages.capture('orders', policy)
    },
    { name: 'sender' },
  )
}

const received = (fields: Record<string, string>, attempt = 1) => ({ queue: 'orders', id: 'j-1', attempt, fields })

describe('openTelemetry, messages', () => {
  it('records the creation of a message below its sender, and each attempt below the creation', async () => {
    const sdk = setUpSdk({ requestSpans: true, fields: { tenant } })
    const messages = openMessages()
    const fields = enqueue(messages)

    await messages.process(received(fields), () => spawn(async () => {}, { name: 'index' }).result())

    expect(tree(sdk.spans())).toEqual({
      'create orders': { parent: 'sender' },
      sender: {},
      index: { parent: 'process orders' },
      'process orders': { parent: 'create orders' },
    })
    expect(sdk.span('create orders').kind).toBe(api.SpanKind.PRODUCER)
    expect(sdk.span('create orders').attributes).toMatchObject({
      'messaging.system': 'kafka',
      'messaging.operation.name': 'create',
      'messaging.destination.name': 'orders',
      'logical_context.message.policy': 'inherit',
    })
    expect(sdk.span('process orders').kind).toBe(api.SpanKind.CONSUMER)
    expect(sdk.span('process orders').attributes).toMatchObject({
      'messaging.system': 'kafka',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'orders',
      'messaging.message.id': 'j-1',
      'logical_context.message.attempt': 1,
      'logical_context.message.policy': 'inherit',
      tenant: 'acme',
    })
  })

  it('records an isolated job in a trace of its own, which links to the sender', async () => {
    const sdk = setUpSdk({ requestSpans: true })
    const messages = openMessages()
    const fields = enqueue(messages, 'isolate')

    await messages.process(received(fields), () => {})

    expect(tree(sdk.spans())).toEqual({
      'create orders': { links: ['sender'] },
      sender: {},
      'process orders': { parent: 'create orders', links: ['sender'] },
    })
  })

  it('has the span of the attempt as the place of the job in its trace', async () => {
    const sdk = setUpSdk({ requestSpans: true })
    const messages = openMessages()

    const seen = await messages.process(received(enqueue(messages)), () => traceContext.get())

    expect(seen?.spanId).toBe(sdk.span('process orders').spanContext().spanId)
  })

  it('marks a failed attempt, and not one that stopped because it was cancelled', async () => {
    const sdk = setUpSdk({ requestSpans: true })
    const messages = openMessages()
    const signal = AbortSignal.abort(new Error('the lock is lost'))

    await messages.process(received({}), () => Promise.reject(new Error('no paper'))).catch(() => {})
    await messages
      .process({ ...received({}), signal }, (scope) => Promise.reject(scope.signal.reason as Error))
      .catch(() => {})

    expect(sdk.spans().map(({ name, status }) => [name, status.code])).toEqual([
      ['process orders', api.SpanStatusCode.ERROR],
      ['process orders', api.SpanStatusCode.UNSET],
    ])
  })

  it('records no spans without requestSpans, and keeps the trace of the active span', async () => {
    const sdk = setUpSdk()
    const messages = openMessages()

    const { sender, seen } = await sdk.tracer.startActiveSpan('other code', async (span) => {
      const fields = messages.capture('orders')
      span.end()
      return { sender: span.spanContext(), seen: await messages.process(received(fields), () => traceContext.get()) }
    })

    expect(sdk.spans().map(({ name }) => name)).toEqual(['other code'])
    expect([seen?.traceId, seen?.parentSpanId]).toEqual([sender.traceId, sender.spanId])
  })
})

const formats = [...propagators, b3(), jaeger()]

/** What each engine is passed for a message that is enqueued here. */
const engines: Record<string, (policy: MessagePolicy) => unknown> = {
  amqplib: (policy) => amqpContext({ propagators: formats }).publishOptions('orders', { policy }),
  'BullMQ, a policy for a job': (policy) => bullContext({ propagators: formats }).jobOptions('orders', policy),
  'BullMQ, a flow': (policy) =>
    bullContext({ propagators: formats }).flow({ name: 'a', queueName: 'orders', children: [] }, policy),
  'BullMQ, its telemetry': (policy) =>
    bullContext({ propagators: formats, policy }).telemetry.contextManager.getMetadata(undefined),
  'a child process': (policy) => childContext({ propagators: formats }).env(policy, {}),
  kafkajs: (policy) => kafkaContext({ propagators: formats }).headers('orders', policy),
  'NATS JetStream': async (policy) => {
    const sent: unknown[] = []
    const js = { publish: async (...args: unknown[]) => sent.push(Object.fromEntries((args[2] as Headered).headers)) }
    await natsContext({ propagators: formats }).publish(js as never, 'orders', '', { policy })
    return sent
  },
  'pg-boss': async (policy) => {
    const sent: unknown[] = []
    const boss = { stop() {}, send: async (...args: unknown[]) => sent.push(args) }
    await contextBoss(boss as never, { propagators: formats }).send('orders', {}, { policy })
    return sent
  },
  SQS: (policy) => sqsContext({ propagators: formats }).attributes('orders', policy),
  'a thread': (policy) => threadContext({ propagators: formats }).enclose({}, policy),
}

interface Headered {
  headers: Iterable<[string, unknown]>
}

describe('openTelemetry, messages that are enqueued while tracing is suppressed', () => {
  const traceFields = /traceparent|x[-_]request[-_]id|b3|uber[-_]trace|link=/i

  it.each(Object.entries(engines))('have values, no trace, no request id and no span: %s', async (_, capture) => {
    const sdk = setUpSdk({ requestSpans: true })
    const suppressed = () => suppressTracing(api.context.active())
    const texts: string[] = []
    const note = async (policy: MessagePolicy) => void texts.push(JSON.stringify(await capture(policy)))

    await runInScope(async () => {
      tenant.set('acme')
      for (const policy of ['inherit', 'isolate', { only: [tenant] }] as const) {
        await api.context.with(suppressed(), () => note(policy))
      }
    })
    const spans = sdk.spans().map(({ name }) => name)
    await runInScope(() => api.context.with(unsuppressTracing(suppressed()), () => note('inherit')))

    expect(texts.map((text) => traceFields.test(text))).toEqual([false, false, false, true])
    expect(texts.map((text) => text.includes('tenant=acme'))).toEqual([true, true, true, false])
    expect(spans).toEqual(['scope'])
  })

  it('have no trace outside any unit, and an attempt in a new one', async () => {
    setUpSdk({ requestSpans: true })
    const messages = openMessages()

    const fields = api.context.with(suppressTracing(api.ROOT_CONTEXT), () => messages.capture('orders'))
    const seen = await messages.process(received(fields), () => traceContext.get())

    expect(Object.keys(fields)).toEqual(['logical-context'])
    expect([seen?.traceId.length, seen?.parentSpanId, messages.counters.malformed]).toEqual([32, undefined, 0])
  })
})

describe('the channels of messages', () => {
  it('have the enqueue, the begin and the end of each attempt, and what was refused, each in its context', async () => {
    const messages = openMessages()
    const events: unknown[] = []
    const listen = (key: 'messageSend' | 'messageStart' | 'messageEnd' | 'messageRefuse') => {
      const onEvent = (event: object) => void events.push([key, { ...event, scope: undefined }, tenant.get()])
      channels[key].subscribe(onEvent)
      onTestFinished(() => void channels[key].unsubscribe(onEvent))
    }
    for (const key of ['messageSend', 'messageStart', 'messageEnd', 'messageRefuse'] as const) listen(key)
    const failure = new Error('no paper')

    const fields = enqueue(messages)
    await messages.process(received(fields), () => Promise.reject(failure)).catch(() => {})
    await messages.process(received({ ...fields, traceparent: 'x' }, 2), () => {})

    const job = { queue: 'orders', name: 'orders', id: 'j-1', attempt: 1, policy: 'inherit' }
    const timed = { waitMs: expect.any(Number) }
    const ended = { durationMs: expect.any(Number) }
    expect(events).toEqual([
      ['messageSend', { queue: 'orders', policy: 'inherit' }, 'acme'],
      ['messageStart', { job, ...timed }, 'acme'],
      ['messageEnd', { job, ...timed, ...ended, outcome: 'failed', error: failure }, 'acme'],
      ['messageRefuse', { queue: 'orders', reason: 'malformed', field: 'traceparent' }, undefined],
      ['messageStart', { job: { ...job, attempt: 2 }, ...timed }, 'acme'],
      ['messageEnd', { job: { ...job, attempt: 2 }, ...timed, ...ended, outcome: 'done', error: undefined }, 'acme'],
    ])
  })
})
