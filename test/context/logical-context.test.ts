import { inspect } from 'node:util'
import { ContextVar, current, LogicalContext, run, runInScope, TaskGroup } from 'logical-context'
import { describe, expect, it } from 'vitest'

const user = new ContextVar<string | undefined, string>('user', { default: 'guest' })
const tenant = new ContextVar<string>('tenant')

describe('LogicalContext', () => {
  it('starts empty', () => {
    expect(LogicalContext.empty.has(user)).toBe(false)
    expect(LogicalContext.empty.get(user)).toBe('guest')
    expect(LogicalContext.empty).toBe(LogicalContext.empty)
  })

  it('returns a new context with a variable set, and does not change', () => {
    const ada = LogicalContext.empty.with(user, 'ada')
    const both = ada.with(tenant, 'acme')
    const grace = both.with(user, 'grace')

    expect([ada, both, grace].map((context) => [context.get(user), context.get(tenant)])).toEqual([
      ['ada', undefined],
      ['ada', 'acme'],
      ['grace', 'acme'],
    ])
    expect(LogicalContext.empty.has(user)).toBe(false)
  })

  it('returns a new context with a variable unset, and does not change', () => {
    const ada = LogicalContext.empty.with(user, 'ada')
    const guest = ada.without(user)

    expect([ada.get(user), guest.get(user), guest.has(user)]).toEqual(['ada', 'guest', false])
  })

  it('is the same without a variable that is not set', () => {
    const ada = LogicalContext.empty.with(user, 'ada')

    expect(ada.without(tenant)).toBe(ada)
    expect(ada.without(user).without(user).has(user)).toBe(false)
  })

  it('holds undefined as a value', () => {
    const context = LogicalContext.empty.with(user, undefined)

    expect([context.has(user), context.get(user)]).toEqual([true, undefined])
  })

  it.each<[method: string, call: (context: LogicalContext) => unknown, got: string]>([
    ['get', (context) => context.get('x' as never), "'x'"],
    ['get', (context) => context.get(undefined as never), 'undefined'],
    ['has', (context) => context.has({ index: 2 } as never), '{ index: 2 }'],
    ['with', (context) => context.with({} as never, 1 as never), '{}'],
    ['without', (context) => context.without(null as never), 'null'],
  ])('refuses in %s what is not a variable', (method, call, got) => {
    expect(() => call(LogicalContext.empty)).toThrow(
      new TypeError(`LogicalContext.${method}: expected a ContextVar, got ${got}.`),
    )
  })

  it.each<[name: string, values: unknown]>([
    ['a Map', new Map()],
    ['a list of entries', [[user, 'x']]],
    ['a list of several entries', [[user, 'x'], [tenant, 'acme'], []]],
    ['an entry', [user, 'x']],
    ['an empty list', []],
    ['nothing', undefined],
  ])('refuses to be created from %s', (_name, values) => {
    expect(() => new (LogicalContext as never as new (values: unknown) => unknown)(values)).toThrow(
      /^LogicalContext: expected the values of a context, got .+\. Use current\(\), or LogicalContext\.empty\.with/s,
    )
  })

  it('is not reached by what is written in runs of it', () => {
    const context = LogicalContext.empty.with(user, 'ada')

    run(context, () => {
      user.set('grace')
      tenant.set('acme')
    })

    expect([context.get(user), context.has(tenant)]).toEqual(['ada', false])
  })

  it('is not reached by what is written where it was taken', () => {
    const snapshots = runInScope(() => {
      const taken = [current()]
      for (const name of ['ada', 'grace', 'barbara']) {
        user.set(name)
        taken.push(current())
      }
      user.delete()
      taken.push(current())
      return taken
    })

    expect(snapshots.map((snapshot) => snapshot.get(user))).toEqual(['guest', 'ada', 'grace', 'barbara', 'guest'])
  })

  it('outlives the unit where it was taken', () => {
    const snapshot = runInScope(() => {
      user.set('ada')
      return current()
    })

    expect(snapshot.get(user)).toBe('ada')
  })

  it('shows the names of what is set, and no values', () => {
    const context = LogicalContext.empty.with(user, 'ada').with(tenant, 'acme').without(user)

    expect([String(LogicalContext.empty), String(context)]).toEqual(['LogicalContext()', 'LogicalContext(tenant)'])
  })

  it('shows names only as JSON too, for logs are made of it', () => {
    const secret = new ContextVar<string>('secret', { sensitive: true })
    const context = LogicalContext.empty.with(secret, 'hunter2')

    expect(JSON.stringify({ context })).toBe('{"context":"LogicalContext(secret)"}')
  })

  it('shows itself with values where it is inspected, but no sensitive one', () => {
    const secret = new ContextVar<string>('secret', { sensitive: true })
    const context = LogicalContext.empty.with(tenant, 'acme').with(user, undefined).with(secret, 'hunter2')

    expect(inspect(context)).toBe("LogicalContext { user: undefined, tenant: 'acme', secret: [sensitive] }")
    expect(inspect(LogicalContext.empty)).toBe('LogicalContext {}')
  })

  it.each<[name: string, value: unknown]>([
    [
      'a getter that throws',
      {
        get broken() {
          throw new Error('getter')
        },
      },
    ],
    [
      'an inspection that throws',
      {
        [inspect.custom]() {
          throw new Error('inspect')
        },
      },
    ],
    [
      'a proxy that throws',
      new Proxy(
        {},
        {
          get() {
            throw new Error('get')
          },
          ownKeys() {
            throw new Error('keys')
          },
        },
      ),
    ],
    ['a revoked proxy', revokedProxy()],
    ['an object without a prototype', Object.create(null)],
    ['a circle', circle()],
    [
      'a toString that throws',
      {
        toString() {
          throw new Error('toString')
        },
      },
    ],
  ])('shows itself with %s in it', (_, value) => {
    const variable = new ContextVar<unknown>('variable')
    const context = LogicalContext.empty.with(variable, value)

    expect(inspect(context)).toMatch(/^LogicalContext \{ variable: /)
    expect([String(context), JSON.stringify(context)]).toEqual([
      'LogicalContext(variable)',
      '"LogicalContext(variable)"',
    ])
  })
})

function revokedProxy(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

function circle(): unknown {
  const object: { self?: unknown } = {}
  object.self = object
  return object
}

describe('the classes of the package', () => {
  it('are distinguished by instanceof', () => {
    expect(LogicalContext.empty instanceof LogicalContext).toBe(true)
    expect(LogicalContext.empty instanceof ContextVar).toBe(false)
    expect(new TaskGroup() instanceof LogicalContext).toBe(false)
  })
})
