import { EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import * as api from '@opentelemetry/api'
import {
  bind,
  ContextVar,
  current,
  isolateGenerator,
  run,
  runInScope,
  spawn,
  TaskGroup,
  withTaskGroup,
} from 'logical-context'
import { contextManager } from 'logical-context/bridges/opentelemetry'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { managers } from './sdk.ts'

const key = api.createContextKey('test')
const tenant = new ContextVar<string>('tenant')
const contextOf = (value: string) => api.ROOT_CONTEXT.setValue(key, value)
const seen = () => api.context.active().getValue(key)
const attach = (value: string) => api.context.attach(contextOf(value))

describe.each(managers)('the behaviour of a context manager, of %s', (_name, make) => {
  beforeEach(() => {
    api.context.setGlobalContextManager(make().enable())
  })
  afterEach(() => api.context.disable())

  it('has the root context outside of all', () => {
    expect(api.context.active()).toBe(api.ROOT_CONTEXT)
  })

  it('runs a function with its receiver and arguments, and gives what it returns or throws', () => {
    const receiver = { name: 'receiver' }
    function body(this: typeof receiver, a: number, b: number) {
      return [this.name, a, b, seen()]
    }

    expect(api.context.with(contextOf('a'), body, receiver, 1, 2)).toEqual(['receiver', 1, 2, 'a'])
    expect(() =>
      api.context.with(contextOf('a'), () => {
        throw new Error('no')
      }),
    ).toThrow('no')
    expect(seen()).toBeUndefined()
  })

  it('nests, also back to the root', () => {
    api.context.with(contextOf('a'), () => {
      api.context.with(contextOf('b'), () => {
        expect(seen()).toBe('b')
        api.context.with(api.ROOT_CONTEXT, () => expect(api.context.active()).toBe(api.ROOT_CONTEXT))
      })
      expect(seen()).toBe('a')
    })
  })

  it('follows awaits, timers and callbacks, of flows that run side by side', async () => {
    const flow = (value: string) =>
      api.context.with(contextOf(value), async () => {
        const found = [seen()]
        await Promise.resolve()
        found.push(seen())
        await new Promise((resolve) => setTimeout(resolve, 1))
        found.push(seen())
        return found
      })

    expect(await Promise.all([flow('a'), flow('b')])).toEqual([
      ['a', 'a', 'a'],
      ['b', 'b', 'b'],
    ])
  })

  it('binds a function, with its receiver, its arguments and its length', () => {
    function body(this: unknown, a: number, b: number) {
      return [this, a, b, seen()]
    }
    const bound = api.context.bind(contextOf('a'), body)

    expect(bound.length).toBe(2)
    api.context.with(contextOf('b'), () => expect(bound.call('receiver', 1, 2)).toEqual(['receiver', 1, 2, 'a']))
  })

  it('gives back what can not be bound', () => {
    const object = { a: 1 }

    expect(api.context.bind(contextOf('a'), object)).toBe(object)
    expect(api.context.bind(contextOf('a'), 42)).toBe(42)
  })

  it('binds the listeners of an emitter', () => {
    const emitter = new EventEmitter()
    expect(api.context.bind(contextOf('a'), emitter)).toBe(emitter)
    const found: unknown[] = []
    const see = (name: string) => () => found.push(`${name} ${String(seen())}`)

    emitter.on('event', see('on'))
    emitter.addListener('event', see('addListener'))
    emitter.prependListener('event', see('prependListener'))
    emitter.once('event', see('once'))
    emitter.prependOnceListener('event', see('prependOnceListener'))
    api.context.with(contextOf('b'), () => emitter.emit('event'))
    emitter.emit('event')

    const each = ['prependListener a', 'on a', 'addListener a']
    expect(found).toEqual(['prependOnceListener a', ...each, 'once a', ...each])
  })

  it.each(['on', 'once', 'addListener', 'prependListener', 'prependOnceListener'] as const)(
    'lets a listener be removed that was added by %s',
    (add) => {
      const emitter = api.context.bind(contextOf('a'), new EventEmitter())
      const listener = () => {}

      for (const remove of ['removeListener', 'off'] as const) {
        emitter[add]('event', listener)
        expect(emitter.listenerCount('event')).toBe(1)
        emitter[remove]('event', listener)
        expect(emitter.listenerCount('event')).toBe(0)
      }
      emitter[add]('event', listener)
      emitter.removeAllListeners('event')
      expect(emitter.listenerCount('event')).toBe(0)
    },
  )

  it('lets a stream flow for a listener that is added once', async () => {
    const stream = api.context.bind(contextOf('a'), Readable.from(['tea']))

    const found = await new Promise((resolve) => stream.once('data', (data) => resolve([data, seen()])))

    expect(found).toEqual(['tea', 'a'])
  })

  it('removes the listeners of all events, and lets a listener remove itself', () => {
    const emitter = api.context.bind(contextOf('a'), new EventEmitter())
    const listener = () => emitter.removeListener('event', listener)
    emitter.on('event', listener).on('event', seen).once('other', seen)

    emitter.emit('event')
    expect(emitter.listenerCount('event')).toBe(1)
    emitter.removeAllListeners()

    expect(emitter.eventNames()).toEqual([])
  })

  it('is its own result when it is enabled and disabled', () => {
    const manager = make()

    expect(manager.enable()).toBe(manager)
    expect(manager.disable()).toBe(manager)
  })

  it('works without having been enabled, and after having been disabled', () => {
    for (const manager of [make(), make().enable().disable()]) {
      const here = () => manager.active().getValue(key)
      expect(manager.with(contextOf('a'), here)).toBe('a')
      expect(manager.with(contextOf('a'), () => tenant.get())).toBeUndefined()
      expect(manager.bind(contextOf('b'), here)()).toBe('b')
      manager.disable()
    }
    api.context.disable()
  })

  it('binds an emitter once', () => {
    const emitter = new EventEmitter()
    api.context.bind(contextOf('a'), api.context.bind(contextOf('a'), emitter))
    const found: unknown[] = []

    emitter.on('event', () => found.push(seen()))
    emitter.emit('event')

    expect(found).toEqual(['a'])
  })

  it('attaches a context until its token is disposed of, which counts once', () => {
    api.context.with(contextOf('a'), () => {
      const token = attach('b')
      expect(seen()).toBe('b')
      token.dispose()
      expect(seen()).toBe('a')

      const another = attach('c')
      token.dispose()
      expect(seen()).toBe('c')
      another.dispose()
      expect(seen()).toBe('a')
    })
  })

  it('nests what is attached, and ends it with the function around it', () => {
    api.context.with(contextOf('a'), () => {
      const outer = attach('b')
      const inner = attach('c')
      expect(seen()).toBe('c')
      inner.dispose()
      expect(seen()).toBe('b')
      api.context.with(contextOf('d'), () => attach('e'))
      expect(seen()).toBe('b')
      outer.dispose()
      expect(seen()).toBe('a')
    })
    expect(seen()).toBeUndefined()
  })

  it('keeps what is attached in the work that was started under it', async () => {
    const { later, bound } = api.context.with(contextOf('a'), () => {
      const token = attach('b')
      const later = Promise.resolve().then(seen)
      const disposing = Promise.resolve().then(() => (token.dispose(), seen()))
      const timer = new Promise((resolve) => setTimeout(() => resolve(seen()), 1))
      const bound = api.context.bind(api.context.active(), seen)
      token.dispose()
      return { later: Promise.all([later, disposing, timer]), bound }
    })

    expect(await later).toEqual(['b', 'b', 'b'])
    expect(bound()).toBe('b')
  })

  it('stays in the unit while a context is attached, and carries it into tasks', async () => {
    await runInScope(async () => {
      const token = attach('a')
      tenant.set('acme')
      const tasks = (['inherit', 'share', 'isolate'] as const).map((policy) => spawn(seen, { policy }))
      token.dispose()

      expect(tenant.get()).toBe('acme')
      expect(await Promise.all(tasks.map((task) => task.result()))).toEqual(['a', 'a', undefined])
    })
  })

  it('goes along with everything of ours but what is isolated', async () => {
    const steps = isolateGenerator(function* () {
      yield seen()
    })
    const asyncSteps = isolateGenerator(async function* () {
      yield seen()
      await Promise.resolve()
      yield seen()
    })

    await runInScope(() =>
      api.context.with(contextOf('a'), async () => {
        expect([...steps()]).toEqual(['a'])
        for await (const step of asyncSteps()) expect(step).toBe('a')
        expect(tenant.run('acme', seen)).toBe('a')
        expect(run(current(), seen)).toBe('a')
        expect(api.context.with(contextOf('b'), bind(seen))).toBe('a')
        expect(await spawn(seen).result()).toBe('a')
        expect(await spawn(seen, { policy: 'share' }).result()).toBe('a')
        expect(await spawn(seen, { policy: 'isolate' }).result()).toBeUndefined()
        expect(await withTaskGroup((group) => group.spawn(async () => seen()).result())).toBe('a')
        expect(runInScope(seen)).toBe('a')
      }),
    )
  })

  it('goes along with a task that waits for its place', async () => {
    const group = new TaskGroup({ maxConcurrent: 1 })
    const first = Promise.withResolvers<void>()

    const queued = runInScope(() => {
      group.spawn(() => first.promise)
      return api.context.with(contextOf('a'), () => group.spawn(async () => (await Promise.resolve(), seen())))
    })
    first.resolve()

    expect(await queued.result()).toBe('a')
  })

  it('changes nothing about what set() reaches, where it throws, and what is cancelled', async () => {
    await runInScope(async (scope) => {
      await api.context.with(contextOf('a'), async () => {
        tenant.set('inside')
        await Promise.resolve()
        tenant.set('inside, later')
      })
      expect(tenant.get()).toBe('inside, later')
      const task = spawn(({ signal }) => api.context.with(contextOf('b'), () => signal.aborted))
      expect(await task.result()).toBe(false)
      expect(scope.context.get(tenant)).toBe('inside, later')
    })

    api.context.with(contextOf('a'), () => {
      expect(() => tenant.set('outside')).toThrow(expect.objectContaining({ code: 'LCTX_OUTSIDE_UNIT' }))
      expect(() => spawn(seen)).toThrow(expect.objectContaining({ code: 'LCTX_OUTSIDE_UNIT' }))
      expect(tenant.get()).toBeUndefined()
    })
  })
})

describe('contextManager, attached contexts', () => {
  beforeEach(() => {
    api.context.setGlobalContextManager(contextManager({ api }).enable())
  })
  afterEach(() => api.context.disable())

  it('leaves another flow alone when a token is disposed of there', async () => {
    const token = api.context.with(contextOf('a'), () => attach('b'))

    api.context.with(contextOf('of another'), () => {
      token.dispose()
      expect(seen()).toBe('of another')
    })
  })

  it('goes back to what was there before, in whichever order tokens are disposed of', () => {
    api.context.with(contextOf('a'), () => {
      const tokens = ['b', 'c', 'd'].map(attach)
      const seenAfter = [0, 1, 2].map((i) => {
        tokens[i]?.dispose()
        return seen()
      })

      expect(seenAfter).toEqual(['d', 'd', 'a'])
    })
  })

  it('ends what nobody has disposed of with its unit', async () => {
    const sealed = Promise.withResolvers<void>()

    const late = runInScope(() =>
      api.context.with(contextOf('a'), () => {
        attach('b')
        attach('c')
        return { late: sealed.promise.then(seen) }
      }),
    )
    sealed.resolve()

    expect(await late.late).toBe('a')
  })
})

describe('contextManager', () => {
  it('leaves nothing behind when it is disabled', () => {
    const manager = contextManager({ api }).enable()
    manager.with(contextOf('a'), () => expect(manager.active().getValue(key)).toBe('a'))
    manager.disable()

    runInScope(() => {
      tenant.set('acme')
      expect(tenant.get()).toBe('acme')
    })
    expect(() => tenant.set('outside')).toThrow(expect.objectContaining({ code: 'LCTX_OUTSIDE_UNIT' }))
  })

  it('refuses to be made without the api', () => {
    expect(() => contextManager({} as never)).toThrow("option 'api' expected all of '@opentelemetry/api'")
  })
})
