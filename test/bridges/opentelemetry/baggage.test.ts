import * as api from '@opentelemetry/api'
import Fastify from 'fastify'
import { type Policy, runInScope, spawn } from 'logical-context'
import { inject } from 'logical-context/clients/inject'
import logicalContext from 'logical-context/middleware/fastify'
import { w3cBaggage } from 'logical-context/propagators'
import { Baggage, baggage } from 'logical-context/variables'
import { describe, expect, it, onTestFinished } from 'vitest'
import { inSpan, setUpSdk } from './sdk.ts'

const ours = Baggage.empty.set('tenant', 'acme', [['ttl', '1 2'], ['flag']])

/** What OpenTelemetry's API sees. */
function theirs(): string | undefined {
  return api.propagation.getActiveBaggage()?.getEntry('tenant')?.value
}

function withTheirs<R>(value: string, fn: () => R): R {
  const bag = api.propagation.createBaggage({ tenant: { value } })
  return api.context.with(api.propagation.setBaggage(api.context.active(), bag), fn)
}

describe('openTelemetry, baggage: true', () => {
  it('shows ours to their API as soon as it is set, with its properties', () => {
    setUpSdk({ baggage: true })

    runInScope(() => {
      expect(theirs()).toBeUndefined()
      baggage.set(ours)

      expect(theirs()).toBe('acme')
      expect(String(api.propagation.getActiveBaggage()?.getEntry('tenant')?.metadata)).toBe('ttl=1%202;flag')
      baggage.set(ours.set('tenant', 'other'))
      expect(theirs()).toBe('other')
      baggage.delete()
      expect(theirs()).toBeUndefined()
    })
  })

  it('shows theirs to us in the block in which they set it', () => {
    setUpSdk({ baggage: true })

    runInScope(() => {
      baggage.set(ours)
      withTheirs('theirs', () => {
        expect(baggage.get()?.get('tenant')).toBe('theirs')
        baggage.set(ours.set('tenant', 'set last'))
        expect(theirs()).toBe('set last')
        expect(baggage.get()?.get('tenant')).toBe('set last')
      })

      expect(theirs()).toBe('set last')
    })
  })

  it('is one in active spans, and where their API deletes it', async () => {
    const { tracer } = setUpSdk({ baggage: true })

    await runInScope(async () => {
      baggage.set(ours)
      await inSpan(tracer, 'query', () => expect(theirs()).toBe('acme'))
      api.context.with(api.propagation.deleteBaggage(api.context.active()), () => {
        expect(baggage.get()).toBeUndefined()
      })
    })
  })

  it.each<[name: string, policy: Policy, seen: [string | undefined, string | undefined]]>([
    ['inherit', 'inherit', ['theirs', 'theirs']],
    ['share', 'share', ['theirs', 'theirs']],
    ['isolate', 'isolate', [undefined, undefined]],
    ['only another', { only: [] }, [undefined, undefined]],
    ['only it', { only: [baggage] }, ['theirs', 'theirs']],
  ])('crosses a spawn by the policy %s', async (_name, policy, expected) => {
    setUpSdk({ baggage: true })

    const seen = await runInScope(() =>
      withTheirs('theirs', () => spawn(() => [theirs(), baggage.get()?.get('tenant')], { policy }).result()),
    )

    expect(seen).toEqual(expected)
  })

  it('goes out with our calls, to whom it may go', () => {
    setUpSdk({ baggage: true })
    const told: Record<string, string> = {}

    runInScope(() =>
      withTheirs('theirs', () =>
        inject.with({ propagators: [w3cBaggage()], values: ['a.example'] })(told, {
          to: 'http://a.example',
        }),
      ),
    )

    expect(told).toEqual({ baggage: 'tenant=theirs' })
  })

  it('is in hooks and handlers what the trust setting took, and not what an instrumentation did', async () => {
    setUpSdk({ baggage: true })
    const app = Fastify()
    await app.register(logicalContext)
    onTestFinished(() => app.close())
    const seen: unknown[] = []
    app.addHook('onRequest', async () => {
      seen.push(theirs(), baggage.get())
      baggage.set(ours)
    })
    app.get('/', () => seen.push(theirs()))

    await withTheirs('forged', () => app.inject('/'))

    expect(seen).toEqual([undefined, undefined, 'acme'])
  })

  it('is one in handlers and in tasks, on whichever side it is set', async () => {
    setUpSdk({ baggage: true })
    const app = Fastify()
    await app.register(logicalContext)
    onTestFinished(() => app.close())
    const seen: unknown[] = []
    const see = () => seen.push([theirs(), baggage.get()?.get('tenant')])
    const setBoth = () => {
      baggage.set(ours.set('tenant', 'ours'))
      see()
      withTheirs('theirs', see)
      see()
    }
    app.get('/', async () => {
      setBoth()
      await spawn(setBoth).result()
      see()
      return 'ok'
    })

    await app.inject('/')

    const each = ['ours', 'theirs', 'ours'].map((value) => [value, value])
    expect(seen).toEqual([...each, ...each, ['ours', 'ours']])
  })

  it('leaves out what W3C Baggage has no form for', () => {
    setUpSdk({ baggage: true })
    const bag = api.propagation.createBaggage({
      'no token': { value: '1' },
      good: { value: 'é', metadata: api.baggageEntryMetadataFromString('a=%20;b') },
      odd: { value: '3', metadata: api.baggageEntryMetadataFromString('not a property') },
    })

    const seen = runInScope(() =>
      api.context.with(api.propagation.setBaggage(api.context.active(), bag), () => Array.from(baggage.get() ?? [])),
    )

    expect(seen).toEqual([
      ['good', { value: 'é', properties: [['a', ' '], ['b']] }],
      ['odd', { value: '3', properties: [] }],
    ])
  })
})

describe('openTelemetry, without baggage: true', () => {
  it('keeps the two apart', () => {
    setUpSdk()

    runInScope(() => {
      baggage.set(ours)

      expect(theirs()).toBeUndefined()
      withTheirs('theirs', () => expect(baggage.get()).toBe(ours))
    })
  })
})
