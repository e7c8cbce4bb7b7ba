import { bind, ContextVar, type LateUse, type LateUseOptions, runInScope, spawn, withTimeout } from 'logical-context'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { LateUseWatch } from '../../src/tasks/late-use.ts'

const user = new ContextVar<string>('user')
const tenant = new ContextVar<string>('tenant')
const kept = new ContextVar<string>('kept', { onSpawn: 'keep' })

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
})

describe('a late use', () => {
  it('is reported with the line of code that did it', () => {
    const uses = usesOf(() => user.get())

    expect(uses).toEqual([
      {
        operation: 'read',
        variable: 'user',
        unit: 'import',
        callSite: expect.stringMatching(/^at .*late-use\.test\.ts:\d+:\d+/),
      },
    ])
  })

  it('is reported at its own line for each operation', () => {
    const uses = usesOf(() => {
      user.get()
      user.set('late')
      user.delete()
      user.override('late')
    })

    const lines = uses.map(({ callSite }) => Number(/late-use\.test\.ts:(\d+):\d+\)?$/.exec(callSite)?.[1]))
    expect(lines.map((line) => line - (lines[0] ?? 0))).toEqual([0, 1, 2, 3])
    expect(uses.map(({ operation }) => operation)).toEqual(['read', 'write', 'write', 'write'])
  })

  it('is reported once for each call site and variable', () => {
    const uses = usesOf(() => {
      for (const variable of [user, tenant, user, tenant]) variable.get()
      user.get()
    })

    expect(uses.map(({ variable }) => variable)).toEqual(['user', 'tenant', 'user'])
  })

  it('is none for a survivor', () => {
    expect(usesOf(() => kept.get())).toEqual([])
  })

  it('is none for a look at whether there is a value', () => {
    expect(usesOf(() => user.has())).toEqual([])
  })

  it('is found in a block that has outlived its unit, and in a task that has', async () => {
    const uses: LateUse[] = []
    const gate = Promise.withResolvers<void>()
    const leftBehind: Promise<unknown>[] = []

    runInScope(
      () => {
        leftBehind.push(user.run('ada', () => gate.promise.then(() => user.get())))
        spawn(() => leftBehind.push(gate.promise.then(() => user.get())), { name: 'reindex' })
      },
      { name: 'import', onLateUse: (use) => uses.push(use) },
    )
    gate.resolve()
    await Promise.all(leftBehind)

    expect(uses.map(({ unit }) => unit)).toEqual(['import', 'reindex'])
  })

  it('is printed without an option for it', () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})

    usesOf(() => user.get(), { onLateUse: undefined })

    expect(console.error).toHaveBeenCalledExactlyOnceWith(
      expect.stringMatching(
        /^logical-context: late read of 'user' after the end of its unit 'import' .*late-use\.test\.ts/,
      ),
    )
  })

  it('is reported without a line where the program has changed what a stack is', () => {
    const prepare = Error.prepareStackTrace
    const uses = usesOf(() => {
      Error.prepareStackTrace = (_, frames) => frames
      try {
        user.get()
      } finally {
        Error.prepareStackTrace = prepare
      }
    })

    expect(uses).toMatchObject([{ variable: 'user', callSite: '' }])
  })

  it('is reported with its line where the program keeps short stacks, which it goes on to do', () => {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 1
    const uses = usesOf(() => user.get())
    const after = Error.stackTraceLimit
    Error.stackTraceLimit = stackTraceLimit

    expect(uses).toMatchObject([{ callSite: expect.stringMatching(/^at .*late-use\.test\.ts:\d+:\d+/) }])
    expect(after).toBe(1)
  })

  it.each<[string, (call: () => void) => void]>([
    ['a report that throws', (call) => call()],
    [
      'an Error.prepareStackTrace that throws',
      (call) => {
        const { prepareStackTrace } = Error
        Error.prepareStackTrace = throwing
        try {
          call()
        } finally {
          Error.prepareStackTrace = prepareStackTrace as never
        }
      },
    ],
  ])('restores the limit of stack traces, and does not throw, with %s', (_, around) => {
    vi.spyOn(console, 'error').mockReturnValue()
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 1
    const uses: LateUse[] = []
    const late = runInScope(() => bind(() => user.get()), { onLateUse: (use) => (uses.push(use), throwing()) })

    around(late)

    const after = Error.stackTraceLimit
    Error.stackTraceLimit = stackTraceLimit
    expect(after).toBe(1)
    expect(uses).toHaveLength(1)
  })

  it('does not fail the code that reads if the report fails', () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const seen: unknown[] = []

    usesOf(() => seen.push(user.get()), {
      onLateUse: () => {
        throw new RangeError('boom')
      },
    })

    expect(seen).toEqual([undefined])
    expect(console.error).toHaveBeenCalledExactlyOnceWith(
      expect.stringMatching(/^logical-context: onLateUse failed: RangeError: boom/),
    )
  })

  it('is printed once for all units without a handler, whatever their other options are', () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const fresh = new ContextVar<string>('fresh')
    const late = [undefined, { name: 'import' }, { name: 'export' }].map((options) =>
      runInScope(() => bind(() => fresh.get()), options),
    )

    for (const read of late) read()

    expect(console.error).toHaveBeenCalledOnce()
  })

  it('is found in a scope that has outlived its unit', async () => {
    const uses: LateUse[] = []
    const lateRead = await runInScope(() => withTimeout(() => bind(() => user.get()), 60_000), {
      name: 'import',
      onLateUse: (use) => uses.push(use),
    })

    lateRead()

    expect(uses).toMatchObject([{ operation: 'read', variable: 'user', unit: 'import' }])
  })
})

describe('a late write', () => {
  it.each<[name: string, environment: string, throws: boolean]>([
    ['throws in development', 'development', true],
    ['throws in tests', 'test', true],
    ['is reported if NODE_ENV is empty', '', false],
    ['is reported in production', 'production', false],
    ['is reported in another environment', 'staging', false],
  ])('%s', (_, environment, throws) => {
    vi.stubEnv('NODE_ENV', environment)
    const uses: LateUse[] = []
    const lateWrite = runInScope(() => bind(() => user.set('late')), { onLateUse: (use) => uses.push(use) })

    if (throws) expect(lateWrite).toThrow(expect.objectContaining({ code: 'LCTX_LATE_WRITE' }))
    else lateWrite()

    expect(uses).toHaveLength(throws ? 0 : 1)
  })

  it('is reported if the option requests a report only', () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const lateWrite = runInScope(() => bind(() => user.set('late')), { lateWrites: 'report' })

    lateWrite()

    expect(console.error).toHaveBeenCalledExactlyOnceWith(expect.stringMatching(/late write of 'user'/))
  })

  it('changes nothing, reported or thrown', () => {
    const seen: unknown[] = []
    const lateWrite = runInScope(
      () => {
        kept.set('kept')
        return bind(() => {
          kept.set('late')
          kept.delete()
          seen.push(kept.get())
        })
      },
      { lateWrites: 'report', onLateUse: () => {} },
    )

    lateWrite()

    expect(seen).toEqual(['kept'])
  })
})

describe('LateUseWatch', () => {
  it('counts every use, and keeps at most a thousand call sites', () => {
    const uses: LateUse[] = []
    const watch = new LateUseWatch({ lateWrites: 'report', onLateUse: (use) => uses.push(use) })

    for (let i = 0; i < 1500; i++) watch.report('read', `variable ${i}`, 'import')
    watch.report('write', 'user', 'import')

    expect([watch.reads, watch.writes, uses.length]).toEqual([1500, 1, 1000])
  })

  it('counts a write that throws', () => {
    const watch = new LateUseWatch({ lateWrites: 'throw' })

    expect(() => watch.report('write', 'user', 'import')).toThrow(/'user'.*'import'/)
    expect(watch.writes).toBe(1)
  })
})

/** What is reported when `fn` runs in a unit that has ended. */
function usesOf(fn: () => void, options: LateUseOptions | { onLateUse: undefined } = {}): LateUse[] {
  const uses: LateUse[] = []
  const lateRun = runInScope(
    () => {
      for (const variable of [user, tenant, kept]) variable.set('value')
      return bind(fn)
    },
    { name: 'import', lateWrites: 'report', onLateUse: (use: LateUse) => uses.push(use), ...options } as object,
  )
  lateRun()
  return uses
}

function throwing(): never {
  throw new RangeError('planted')
}
