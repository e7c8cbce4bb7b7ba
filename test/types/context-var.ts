// Compiled by `npm run types`, not run: what must compile does, and what must not is expected to fail.
import { ContextVar } from 'logical-context'
import { expectTypeOf } from 'vitest'

const tenant = new ContextVar<string>('tenant')
const retries = new ContextVar<number, number>('retries', { default: 0 })
const user = new ContextVar<{ id: string } | undefined>('user')

expectTypeOf(tenant.get()).toEqualTypeOf<string | undefined>()
expectTypeOf(retries.get()).toEqualTypeOf<number>()
expectTypeOf(tenant.run('acme', () => 1)).toEqualTypeOf<number>()
expectTypeOf(tenant.run('acme', async () => 1)).toEqualTypeOf<Promise<number>>()
expectTypeOf(new ContextVar('unknown').get()).toEqualTypeOf<unknown>()
user.set(undefined)

// @ts-expect-error a name is needed
void new ContextVar<string>()

// @ts-expect-error a name is a string
void new ContextVar<string>(Symbol('tenant'))

// @ts-expect-error a default that is never undefined has to be given
void new ContextVar<number, number>('retries')

// @ts-expect-error a default of another type
void new ContextVar<number, number>('retries', { default: '0' })

// @ts-expect-error an unknown option
void new ContextVar<string>('tenant', { keep: true })

// @ts-expect-error an unknown rule
void new ContextVar<string>('tenant', { onSpawn: 'copy' })

// @ts-expect-error a value of another type
tenant.set(1)

// @ts-expect-error undefined is no string
tenant.set(undefined)

// @ts-expect-error a value of another type for a block
tenant.run(1, () => {})

// @ts-expect-error what get() gives may be undefined
tenant.get().trim()

// @ts-expect-error a variable keeps its name
tenant.name = 'customer'
