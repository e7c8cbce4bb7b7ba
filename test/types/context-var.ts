// Compiled by `npm run types`, not run: what must compile does, and what must not is expected to fail.
import { ContextVar } from 'logical-context'
import { expectTypeOf } from 'vitest'

interface User {
  id: string
}

const tenant = new ContextVar<string>('tenant')
const retries = new ContextVar<number, number>('retries', { default: 0 })
const user = new ContextVar<User | undefined>('user')
const mode = new ContextVar<'fast' | 'safe', 'safe'>('mode', { default: 'safe' })

expectTypeOf(tenant.get()).toEqualTypeOf<string | undefined>()
expectTypeOf(retries.get()).toEqualTypeOf<number>()
expectTypeOf(user.get()).toEqualTypeOf<User | undefined>()
expectTypeOf(mode.get()).toEqualTypeOf<'fast' | 'safe'>()
expectTypeOf(retries.default).toEqualTypeOf<number>()
expectTypeOf(tenant.default).toEqualTypeOf<undefined>()
expectTypeOf(tenant.has()).toEqualTypeOf<boolean>()
expectTypeOf(tenant.delete()).toEqualTypeOf<boolean>()
expectTypeOf(tenant.run('acme', () => 1)).toEqualTypeOf<number>()
expectTypeOf(tenant.run('acme', async () => 1)).toEqualTypeOf<Promise<number>>()
expectTypeOf(tenant.run('acme', (a: number, b: string) => `${a}${b}`, 1, 'b')).toEqualTypeOf<string>()
expectTypeOf(tenant.override('acme')).toEqualTypeOf<Disposable>()
expectTypeOf(new ContextVar('unnamed').get()).toEqualTypeOf<undefined>()
expectTypeOf(new ContextVar<string>('locale', { default: 'en' })).toEqualTypeOf<ContextVar<string, string>>()
expectTypeOf(new ContextVar('locale', { default: 'en' })).toEqualTypeOf<ContextVar<string, string>>()
expectTypeOf(new ContextVar('locale', { default: 'en' }).get()).toEqualTypeOf<string>()
new ContextVar('locale', { default: 'en' }).set('fr')
expectTypeOf(new ContextVar<User | null>('user', { default: null }).get()).toEqualTypeOf<User | null>()
expectTypeOf(new ContextVar<'fast' | 'safe'>('mode', { default: 'safe' }).get()).toEqualTypeOf<'fast' | 'safe'>()
expectTypeOf(new ContextVar<number>('n', { default: 0, onSpawn: (n) => n + 1 }).get()).toEqualTypeOf<number>()
expectTypeOf(new ContextVar('n', { default: 0, onSpawn: (n) => n + 1 }).get()).toEqualTypeOf<number>()
expectTypeOf(new ContextVar<string>('locale', { default: undefined }).get()).toEqualTypeOf<string | undefined>()
expectTypeOf(tenant.getOrThrow()).toEqualTypeOf<string>()
expectTypeOf(retries.getOrThrow()).toEqualTypeOf<number>()
expectTypeOf(user.getOrThrow()).toEqualTypeOf<User | undefined>()
expectTypeOf(mode.getOrThrow()).toEqualTypeOf<'fast' | 'safe'>()
user.set(undefined)
user.set({ id: 'ada' })
void new ContextVar<string>('tenant', {})
void new ContextVar<string>('tenant', { onSpawn: 'keep', survivesSeal: false, sensitive: true })
void new ContextVar<number>('depth', { onSpawn: (depth, crossing) => (crossing === 'isolate' ? 0 : depth + 1) })

// @ts-expect-error a name is needed
void new ContextVar<string>()

// @ts-expect-error a name is a string
void new ContextVar<string>(Symbol('tenant'))

// @ts-expect-error a default that is never undefined has to be given
void new ContextVar<number, number>('retries')

// @ts-expect-error also among other options
void new ContextVar<number, number>('retries', { onSpawn: 'keep' })

// @ts-expect-error a default of another type
void new ContextVar<number, number>('retries', { default: '0' })

// @ts-expect-error a default of another type than the values
void new ContextVar<number>('retries', { default: '0' })

// @ts-expect-error the type of the values comes from the default
new ContextVar('locale', { default: 'en' }).set(1)

// @ts-expect-error an unknown option
void new ContextVar<string>('tenant', { keep: true })

// @ts-expect-error an unknown rule
void new ContextVar<string>('tenant', { onSpawn: 'copy' })

// @ts-expect-error a rule that derives another type
void new ContextVar<string>('tenant', { onSpawn: (value) => value.length })

// @ts-expect-error a rule for another type
void new ContextVar<string>('tenant', { onSpawn: (value: number) => String(value) })

// @ts-expect-error an option of another type
void new ContextVar<string>('tenant', { sensitive: 'yes' })

// @ts-expect-error nothing may be set where no type is named
new ContextVar('unnamed').set('acme')

// @ts-expect-error a value of another type
tenant.set(1)

// @ts-expect-error undefined is not a string
tenant.set(undefined)

// @ts-expect-error no value
tenant.set()

// @ts-expect-error one of two literals
mode.set('slow')

// @ts-expect-error a value without its properties
user.set({})

// @ts-expect-error a value of another type for a block
void tenant.run(1, () => {})

// @ts-expect-error arguments of another type for a block
void tenant.run('acme', (count: number) => count, 'one')

// @ts-expect-error a value of another type for a while
tenant.override(1)

// @ts-expect-error get() can return undefined
tenant.get().trim()

// @ts-expect-error a variable keeps its name
tenant.name = 'customer'

// @ts-expect-error a variable of one type is none of another
const other: ContextVar<number> = tenant
void other
