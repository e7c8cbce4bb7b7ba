// Compiled by `npm run types`, not run: what must compile does, and what must not is expected to fail.
import {
  bind,
  ContextVar,
  current,
  isolateGenerator,
  LogicalContext,
  openScope,
  outside,
  run,
  runInScope,
  shield,
  spawn,
  withTimeout,
} from 'logical-context'
import { expectTypeOf } from 'vitest'

const tenant = new ContextVar<string>('tenant')
const retries = new ContextVar<number, number>('retries', { default: 0 })

expectTypeOf(current()).toEqualTypeOf<LogicalContext>()
expectTypeOf(current().get(tenant)).toEqualTypeOf<string | undefined>()
expectTypeOf(current().get(retries)).toEqualTypeOf<number>()
expectTypeOf(LogicalContext.empty.with(tenant, 'acme').without(tenant)).toEqualTypeOf<LogicalContext>()
expectTypeOf(run(current(), () => 1)).toEqualTypeOf<number>()
expectTypeOf(run(current(), async (text: string) => text.length, 'text')).toEqualTypeOf<Promise<number>>()
expectTypeOf(bind((a: number, b?: string) => `${a}${b}`)).toBeCallableWith(1)
expectTypeOf(bind(async (a: number) => a)(1)).toEqualTypeOf<Promise<number>>()
expectTypeOf(
  bind(function (this: Date, days: number) {
    return this.getTime() + days
  }).call(new Date(), 1),
).toEqualTypeOf<number>()

const numbers = isolateGenerator(function* (from: number): Generator<number, string, boolean> {
  const more = yield from
  return String(more)
})
expectTypeOf(numbers(1)).toEqualTypeOf<Generator<number, string, boolean>>()
const lines = isolateGenerator(async function* (name: string) {
  yield name.length
})
expectTypeOf(lines('name').next()).toEqualTypeOf<Promise<IteratorResult<number, void>>>()

// @ts-expect-error a value of another type
current().with(tenant, 1)

// @ts-expect-error no value
current().with(tenant)

// @ts-expect-error a name is not a variable
current().get('tenant')

// @ts-expect-error a context is not made of a map
void new LogicalContext(new Map())

// @ts-expect-error no context
void run(() => 1)

// @ts-expect-error arguments of another type
void run(current(), (text: string) => text, 1)

// @ts-expect-error no function
bind('text')

// @ts-expect-error arguments of another type for what was bound
bind((count: number) => count)('one')

// @ts-expect-error no generator function
isolateGenerator(() => 1)

// @ts-expect-error arguments of another type for a generator
numbers('one')

interface Rows extends PromiseLike<number[]> {
  where(column: string): Rows
}
declare const rows: Rows
/** As the types of knex and Prisma are: all of a promise, and more. */
interface Builder extends Promise<number[]> {
  where(column: string): Builder
}
declare const builder: Builder
declare const anyValue: ReturnType<typeof JSON.parse>

expectTypeOf(tenant.run('acme', () => rows)).toEqualTypeOf<Promise<number[]>>()

const queries = isolateGenerator(function* (): Generator<Builder | string, Rows, boolean> {
  yield builder
  return rows
})
expectTypeOf(queries()).toEqualTypeOf<Generator<Promise<number[]> | string, Promise<number[]>, boolean>>()
const identical = isolateGenerator(function* <T>(value: T) {
  yield value
})
expectTypeOf(identical(1).next().value).toEqualTypeOf<number | void>()
const anyValues = isolateGenerator(function* () {
  yield anyValue
})
expectTypeOf(anyValues().next().value).toBeAny()

expectTypeOf(tenant.run('acme', () => builder)).toEqualTypeOf<Promise<number[]>>()
expectTypeOf(tenant.run('acme', () => anyValue)).toBeAny()
expectTypeOf(tenant.run('acme', (): string | Promise<string> => 'text')).toEqualTypeOf<string | Promise<string>>()
expectTypeOf(run(current(), () => builder)).toEqualTypeOf<Promise<number[]>>()
expectTypeOf(runInScope(() => builder)).toEqualTypeOf<Promise<number[]>>()
expectTypeOf(runInScope(() => 'text')).toEqualTypeOf<string>()
expectTypeOf(runInScope(() => anyValue)).toBeAny()
expectTypeOf(openScope('job').run(() => builder)).toEqualTypeOf<Promise<number[]>>()
expectTypeOf(openScope('job').run((text: string) => text, 'text')).toEqualTypeOf<string>()
expectTypeOf(spawn(() => builder).result()).toEqualTypeOf<Promise<number[]>>()
expectTypeOf(withTimeout(() => builder, 1)).toEqualTypeOf<Promise<number[]>>()
expectTypeOf(shield(() => builder)).toEqualTypeOf<Promise<number[]>>()
expectTypeOf(run(current(), () => anyValue)).toBeAny()
expectTypeOf(bind(() => builder)()).toEqualTypeOf<Promise<number[]>>()
expectTypeOf(bind(() => anyValue)()).toBeAny()
expectTypeOf(outside(() => builder)).toEqualTypeOf<Promise<number[]>>()
expectTypeOf(outside((text: string) => text.length, 'text')).toEqualTypeOf<number>()

expectTypeOf(tenant.run('acme', (): Builder | undefined => builder)).toEqualTypeOf<Promise<number[]> | undefined>()
expectTypeOf(run(current(), (): Builder | null => builder)).toEqualTypeOf<Promise<number[]> | null>()
expectTypeOf(bind((): Builder | undefined => builder)()).toEqualTypeOf<Promise<number[]> | undefined>()
expectTypeOf(outside((): Builder | undefined => builder)).toEqualTypeOf<Promise<number[]> | undefined>()
expectTypeOf(runInScope((): Builder | undefined => builder)).toEqualTypeOf<Promise<number[]> | undefined>()
expectTypeOf(openScope('job').run((): Builder | undefined => builder)).toEqualTypeOf<Promise<number[]> | undefined>()
expectTypeOf(run(current(), () => undefined)).toEqualTypeOf<undefined>()
expectTypeOf(run(current(), () => {})).toEqualTypeOf<void>()
expectTypeOf(run(current(), (): never => process.exit())).toBeNever()

// Functions of the program that pass a type through.
function inTenant<T>(fn: () => T): T {
  return tenant.run('acme', fn)
}
function inTenantAsync<T>(fn: () => Promise<T>): Promise<T> {
  return tenant.run('acme', fn)
}
void inTenant
function inTenantOptional<T>(fn: () => Promise<T> | undefined): Promise<T> | undefined {
  return tenant.run('acme', fn)
}
void inTenantAsync
void inTenantOptional

// @ts-expect-error a started query is not a query builder
tenant.run('acme', () => rows).where('id')
