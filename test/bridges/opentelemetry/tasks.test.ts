import * as api from '@opentelemetry/api'
import { AlwaysOffSampler, ParentBasedSampler } from '@opentelemetry/sdk-trace'
import { ContextVar, runInScope, spawn, type Task, TaskGroup, withTaskGroup } from 'logical-context'
import { TraceContext, traceContext, Tracestate } from 'logical-context/variables'
import { describe, expect, it } from 'vitest'
import { isCollected } from '../../flow/memory.ts'
import { inSpan, setUpSdk, tree } from './sdk.ts'

const tenant = new ContextVar<string>('tenant')
const secret = new ContextVar<string>('secret', { sensitive: true })

const ignore = { onError: () => {} }

describe('openTelemetry, tasks', () => {
  it('starts a span for a task by its policy', async () => {
    const { tracer, spans } = setUpSdk()

    await runInScope(() =>
      inSpan(tracer, 'GET /orders', async () => {
        const tasks = [
          spawn(() => 1, { name: 'inherit' }),
          spawn(() => 2, { name: 'only', policy: { only: [tenant] } }),
          spawn(() => 3, { name: 'isolate', policy: 'isolate' }),
          spawn(() => 4, { name: 'share', policy: 'share' }),
        ]
        await Promise.all(tasks.map((task) => task.result()))
      }),
    )

    expect(tree(spans())).toEqual({
      inherit: { parent: 'GET /orders' },
      only: { parent: 'GET /orders' },
      isolate: { links: ['GET /orders'] },
      'GET /orders': {},
    })
  })

  it('puts an inherited task below a span that has ended meanwhile, and an isolated one in a trace of its own', async () => {
    const { tracer, span } = setUpSdk()
    const ended = Promise.withResolvers<void>()
    const tasks: Task[] = []

    await runInScope(() =>
      inSpan(tracer, 'request', () => {
        for (const policy of ['inherit', 'isolate'] as const) {
          tasks.push(
            spawn(
              async () => {
                await ended.promise
                await inSpan(tracer, `late in ${policy}`, () => {})
              },
              { name: policy, policy },
            ),
          )
        }
      }),
    )
    expect(span('request').ended).toBe(true)
    ended.resolve()
    await Promise.all(tasks.map((task) => task.result()))

    const traceIdOf = (name: string) => span(name).spanContext().traceId
    expect(span('inherit').parentSpanContext?.spanId).toBe(span('request').spanContext().spanId)
    expect(span('late in inherit').parentSpanContext?.spanId).toBe(span('inherit').spanContext().spanId)
    expect(traceIdOf('late in inherit')).toBe(traceIdOf('request'))
    expect(span('late in isolate').parentSpanContext?.spanId).toBe(span('isolate').spanContext().spanId)
    expect(traceIdOf('isolate')).not.toBe(traceIdOf('request'))
  })

  it('puts the chain of tasks that spawn their successor in one trace', async () => {
    const { tracer, spans } = setUpSdk()

    await runInScope(() =>
      inSpan(tracer, 'request', () =>
        spawn(() => spawn(() => spawn(() => {}, { name: 'third' }).result(), { name: 'second' }).result(), {
          name: 'first',
        }).result(),
      ),
    )

    expect(tree(spans())).toEqual({
      third: { parent: 'second' },
      second: { parent: 'first' },
      first: { parent: 'request' },
      request: {},
    })
  })

  it('starts the span of a queued task when the task begins, below its spawner', async () => {
    const { tracer, spans } = setUpSdk()
    const group = new TaskGroup({ maxConcurrent: 1 })
    const first = Promise.withResolvers<void>()

    await runInScope(async () => {
      const running = inSpan(tracer, 'a', () => group.spawn(() => first.promise, { name: 'first' }))
      const queued = inSpan(tracer, 'b', () => group.spawn(() => {}, { name: 'second' }))
      first.resolve()
      await (await running).result()
      await (await queued).result()
    })

    expect(tree(spans())).toEqual({
      a: {},
      b: {},
      first: { parent: 'a' },
      second: { parent: 'b' },
    })
  })

  it('records the outcome of a task', async () => {
    const { span } = setUpSdk()
    const group = new TaskGroup({ name: 'mail', onError: () => {} })

    await runInScope(async () => {
      const done = group.spawn(() => 1, { name: 'done' })
      const failed = group.spawn(() => Promise.reject(new RangeError('too far')), { name: 'failed' })
      const thrown = group.spawn(() => Promise.reject('a text'), { name: 'thrown' })
      const cancelled = group.spawn(
        ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        { name: 'cancelled' },
      )
      cancelled.abort()
      await Promise.allSettled([done, failed, thrown, cancelled].map((task) => task.result()))
    })

    const { ERROR, UNSET } = api.SpanStatusCode
    expect(span('done').attributes).toMatchObject({
      'logical_context.task.policy': 'inherit',
      'logical_context.task.group': 'mail',
      'logical_context.task.outcome': 'done',
    })
    expect(span('done').status).toEqual({ code: UNSET })
    expect(span('failed').attributes).toMatchObject({
      'logical_context.task.outcome': 'failed',
      'error.type': 'RangeError',
    })
    expect(span('failed').status).toEqual({ code: ERROR, message: 'too far' })
    expect(span('failed').events.map(({ name, attributes }) => [name, attributes?.['exception.message']])).toEqual([
      ['exception', 'too far'],
    ])
    expect(span('thrown').attributes['error.type']).toBe('_OTHER')
    expect(span('cancelled').attributes['logical_context.task.outcome']).toBe('cancelled')
    expect(span('cancelled').status).toEqual({ code: UNSET })
    expect(span('cancelled').events).toEqual([])
  })

  it('shows a task that was withdrawn from the queue as cancelled, where it was spawned', async () => {
    const { tracer, spans, span } = setUpSdk()
    const group = new TaskGroup({ maxConcurrent: 1, onError: () => {} })
    const first = Promise.withResolvers<void>()

    await runInScope(async () => {
      const running = group.spawn(() => first.promise, { name: 'first' })
      const queued = await inSpan(tracer, 'request', () => group.spawn(() => {}, { name: 'second' }))
      queued.abort()
      first.resolve()
      await running.result()
    })

    expect(tree(spans())).toEqual({ request: {}, second: { parent: 'request' }, first: {} })
    expect(span('second').attributes['logical_context.task.outcome']).toBe('cancelled')
  })

  it('ends the span of a task that is abandoned, whatever the task does', async () => {
    const { span, spans } = setUpSdk()
    const group = new TaskGroup({ name: 'background' })
    const never = Promise.withResolvers<void>()

    await runInScope(async () => {
      const task = group.spawn(() => never.promise, { name: 'stuck' })
      await group.drain({ timeoutMs: 0, graceMs: 0 })
      expect(span('stuck').attributes).toMatchObject({
        'logical_context.task.outcome': 'abandoned',
        'error.type': 'LCTX_ABANDONED',
      })
      expect(span('stuck').status.code).toBe(api.SpanStatusCode.ERROR)
      never.resolve()
      await task.result()
    })

    expect(spans()).toHaveLength(1)
  })

  it('shows a task that was abandoned before it had begun', async () => {
    const lines: string[] = []
    api.diag.setLogger({ warn: (line: string) => lines.push(line) } as never)
    const { span } = setUpSdk()
    const group = new TaskGroup({ maxConcurrent: 1, onError: () => {} })
    const never = Promise.withResolvers<void>()

    runInScope(() => {
      group.spawn(() => never.promise, { name: 'running' })
      group.spawn(() => {}, { name: 'queued' })
    })
    await group.drain({ timeoutMs: 0, graceMs: 0 })
    never.resolve()

    expect(span('queued').attributes['logical_context.task.outcome']).toBe('abandoned')
    expect(lines).toEqual([])
  })

  it('keeps nothing of the request alive for an isolated task', async () => {
    const { tracer, exporter } = setUpSdk()
    const end = Promise.withResolvers<void>()
    const big = new ContextVar<object>('big')
    const key = api.createContextKey('a value of theirs')

    const [task, ours, theirs] = await runInScope(() =>
      inSpan(tracer, 'request', () => {
        const [own, other] = [{}, {}]
        big.set(own)
        return api.context.with(api.context.active().setValue(key, other), () => {
          const isolated = spawn(() => end.promise, { policy: 'isolate' })
          return [isolated, new WeakRef(own), new WeakRef(other)] as const
        })
      }),
    )
    exporter.reset()

    expect([await isCollected(ours), await isCollected(theirs)]).toEqual([true, true])
    end.resolve()
    await task.result()
  })

  it('ends a task whose span cannot be ended', async () => {
    const lines: string[] = []
    api.diag.setLogger({ warn: (line: string) => lines.push(line) } as never)
    const { bridge } = setUpSdk()
    bridge.spanProcessor.onEnding = () => {
      throw new Error('broken')
    }

    expect(await runInScope(() => spawn(() => 42).result())).toBe(42)
    expect(lines).toEqual([expect.stringContaining('Error: broken')])
  })

  it('puts the tasks of a structured group below the span that is active in its body', async () => {
    const { tracer, spans } = setUpSdk()

    await runInScope(() =>
      withTaskGroup((group) =>
        inSpan(tracer, 'body', () => {
          group.spawn(() => {}, { name: 'child' })
        }),
      ),
    )

    expect(tree(spans())).toEqual({ child: { parent: 'body' }, body: {} })
  })

  it('makes its span active in the task, its onError and its late callbacks', async () => {
    const { tracer, span } = setUpSdk()
    const seen: (string | undefined)[] = []
    const see = () => seen.push(api.trace.getActiveSpan()?.spanContext().spanId, traceContext.get()?.spanId)

    await runInScope(() =>
      inSpan(tracer, 'request', async () => {
        const task = spawn(
          async () => {
            see()
            await Promise.resolve()
            see()
            throw new Error('no')
          },
          { name: 'task', onError: see },
        )
        await task.result().catch(() => {})
      }),
    )

    expect(new Set(seen)).toEqual(new Set([span('task').spanContext().spanId]))
    expect(seen).toHaveLength(6)
  })

  it('leaves the spawner at its own span', async () => {
    const { tracer } = setUpSdk()

    await runInScope(() =>
      inSpan(tracer, 'request', (request) => {
        spawn(() => {}, { name: 'task' })
        spawn(() => {}, { name: 'isolated', policy: 'isolate' })

        expect(api.trace.getActiveSpan()).toBe(request)
      }),
    )
  })

  it('puts tasks of a unit without a span below the unit, by its flags', async () => {
    const { spans } = setUpSdk({ sampler: new ParentBasedSampler({ root: new AlwaysOffSampler() }) })
    const sampled = new TraceContext({ flags: 1, traceId: '1'.repeat(32), spanId: '2'.repeat(16) })
    const denied = new TraceContext({ flags: 0, traceId: '3'.repeat(32), spanId: '4'.repeat(16) })

    for (const trace of [sampled, denied]) {
      await runInScope(() => {
        traceContext.set(trace)
        return spawn(() => {}, { name: 'task' }).result()
      })
    }

    expect(spans().map((span) => [span.spanContext().traceId, span.parentSpanContext?.spanId])).toEqual([
      [sampled.traceId, sampled.spanId],
    ])
  })

  it('writes declared fields as attributes: what the task saw at its start and has set since', async () => {
    const cart = new ContextVar<{ items: number }>('cart')
    const { span, tracer } = setUpSdk({
      fields: { tenant, cart, total: { variable: cart, format: (value: { items: number }) => value.items } },
    })

    await runInScope(() => {
      tenant.set('acme')
      secret.set('hunter2')
      return spawn(
        async () => {
          cart.set({ items: 2 })
          await inSpan(tracer, 'below', () => {})
        },
        { name: 'task' },
      ).result()
    })

    for (const name of ['task', 'below']) {
      expect(span(name).attributes).toMatchObject({ tenant: 'acme', cart: '{"items":2}', total: 2 })
    }
    expect(JSON.stringify(span('task').attributes)).not.toContain('hunter2')
  })

  it('runs a task whose span cannot be started', async () => {
    setUpSdk()
    const provider = api.trace.getTracerProvider()
    const lines: string[] = []
    api.diag.setLogger({ warn: (line: string) => lines.push(line) } as never)
    Object.assign(provider, {
      getTracer: () => ({
        startSpan() {
          throw new Error('broken')
        },
      }),
    })

    const value = await runInScope(() => spawn(() => 42, ignore).result())

    expect(value).toBe(42)
    expect(lines).toEqual([expect.stringContaining('a span could not be started or ended: Error: broken')])
  })

  it('reads the trace of a span that accepts no property', async () => {
    setUpSdk()
    const identity = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7', traceFlags: 1 }
    const startSpan = () => Object.freeze(api.trace.wrapSpanContext(identity))
    Object.assign(api.trace.getTracerProvider(), { getTracer: () => ({ startSpan }) })

    const [first, second] = await runInScope(() =>
      spawn(() => [traceContext.get(), traceContext.get()], ignore).result(),
    )

    expect(first).toMatchObject({ traceId: identity.traceId, spanId: identity.spanId })
    expect(second).toBe(first)
  })

  it('passes the members of a tracestate on to spans, which read and change them', async () => {
    setUpSdk()
    const received = new TraceContext({
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      spanId: '00f067aa0ba902b7',
      flags: 1,
      state: Tracestate.parse('congo=t61,rojo=00f'),
    })

    const seen = await runInScope(() => {
      traceContext.set(received)
      const task = () => [api.trace.getActiveSpan()?.spanContext().traceState, traceContext.get()] as const
      return spawn(task, ignore).result()
    })

    const [theirs, ours] = seen
    expect([theirs?.get('congo'), theirs?.get('rojo'), theirs?.get('other')]).toEqual(['t61', '00f', undefined])
    expect(theirs?.serialize()).toBe('congo=t61,rojo=00f')
    expect(theirs?.set('other', '1').serialize()).toBe('other=1,congo=t61,rojo=00f')
    expect(theirs?.unset('congo').serialize()).toBe('rojo=00f')
    expect(ours?.state.toString()).toBe('congo=t61,rojo=00f')
  })
})
