import { bind, ContextVar, isolateGenerator, runInScope, spawn } from 'logical-context'
import { contextLogger, type LogFieldsOptions, pinoMixin } from 'logical-context/bridges/pino'
import { requestId, TraceContext, traceContext } from 'logical-context/variables'
import pino, { type Bindings, type ChildLoggerOptions, type Logger, type LoggerOptions } from 'pino'
import { describe, expect, it, onTestFinished } from 'vitest'
import { bridge } from '../../src/context/bridge.ts'

const tenant = new ContextVar<string>('tenant')
const user = new ContextVar<{ id: number; password: string }>('user')
const secret = new ContextVar<string>('secret', { sensitive: true })

type Line = Record<string, unknown>

/** A stream that keeps the written lines, raw and parsed. */
function memory() {
  const raw: string[] = []
  return {
    write: (line: string) => void raw.push(line),
    raw,
    lines: () => raw.map((line) => JSON.parse(line) as Line),
    last: () => JSON.parse(raw.at(-1) ?? 'null') as Line,
  }
}

/** The number of times that a key is in a line, at any level. */
function occurrences(line: string | undefined, key: string): number {
  return (line ?? '').split(`"${key}":`).length - 1
}

const makers = [
  [
    'contextLogger',
    (options: LoggerOptions, stream: { write: (line: string) => void }) =>
      contextLogger(pino(options, stream), { fields: { tenant } }),
  ],
  [
    'pinoMixin',
    (options: LoggerOptions, stream: { write: (line: string) => void }) =>
      pino({ ...options, mixin: pinoMixin({ fields: { tenant }, mixin: options.mixin as never }) }, stream),
  ],
] as const

describe.each(makers)('%s', (_name, make) => {
  it('puts the ids and the declared fields of the unit on a line', () => {
    const out = memory()
    const log = make({}, out)
    const trace = new TraceContext({
      flags: 1,
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
    })

    runInScope(() => {
      requestId.set('req-1')
      traceContext.set(trace)
      tenant.set('acme')
      log.info({ price: 3 }, 'bought')
    })

    expect(out.last()).toMatchObject({
      request_id: 'req-1',
      trace_id: '0af7651916cd43dd8448eb211c80319c',
      span_id: 'b7ad6b7169203331',
      trace_flags: '01',
      tenant: 'acme',
      price: 3,
      msg: 'bought',
    })
  })

  it('adds nothing outside any unit, and nothing for what is not set', () => {
    const out = memory()
    const log = make({ base: null }, out)

    log.info('outside')
    runInScope(() => log.info('inside'))

    expect(out.lines().map((line) => Object.keys(line))).toEqual([
      ['level', 'time', 'msg'],
      ['level', 'time', 'msg'],
    ])
  })

  it('follows a variable that is set, deleted and set again between two lines', () => {
    const out = memory()
    const log = make({}, out)

    runInScope(() => {
      tenant.set('a')
      log.info('1')
      tenant.set('b')
      log.info('2')
      tenant.delete()
      log.info('3')
      tenant.run('c', () => log.info('4'))
      log.info('5')
    })

    expect(out.lines().map((line) => line['tenant'])).toEqual(['a', 'b', undefined, 'c', undefined])
  })

  it('leaves a key that the log call has to the log call, once', () => {
    const out = memory()
    const log = make({}, out)

    runInScope(() => {
      tenant.set('context')
      log.info({ tenant: 'call', other: { tenant: 1 } }, 'x')
    })

    expect(out.last()).toMatchObject({ tenant: 'call' })
    expect(occurrences(out.raw[0], 'tenant')).toBe(2)
  })

  it('leaves a key that a child has bound to the child, once', () => {
    const out = memory()
    const log = make({}, out).child({ tenant: 'child' })

    runInScope(() => {
      tenant.set('context')
      requestId.set('r')
      log.info('x')
    })

    expect(out.last()).toMatchObject({ tenant: 'child', request_id: 'r' })
    expect(occurrences(out.raw[0], 'tenant')).toBe(1)
  })

  it("keeps a user's mixin, whose keys have precedence", () => {
    const out = memory()
    const log = make({ mixin: () => ({ tenant: 'mixin', extra: 1 }) }, out)

    runInScope(() => {
      tenant.set('context')
      requestId.set('r')
      log.info('x')
    })

    expect(out.last()).toMatchObject({ tenant: 'mixin', extra: 1, request_id: 'r' })
    expect(occurrences(out.raw[0], 'tenant')).toBe(1)
  })

  it('writes the line with the unit’s own trace if a tracer throws', () => {
    const out = memory()
    const log = make({}, out)
    bridge.current = {
      opened: () => undefined,
      spawned: () => undefined,
      trace: () => {
        throw new Error('tracer')
      },
    }
    onTestFinished(() => {
      bridge.current = undefined
    })

    runInScope(() => {
      traceContext.set(new TraceContext({ traceId: '0af7651916cd43dd8448eb211c80319c' }))
      log.info('x')
    })

    expect(out.last()).toMatchObject({ msg: 'x', trace_id: '0af7651916cd43dd8448eb211c80319c' })
  })

  it('omits a field that a child has, but not one whose key is inside of a value of the child', () => {
    const out = memory()
    const log = make({}, out).child({ order: { id: 1, tenant: 'nested' } })

    runInScope(() => {
      tenant.set('acme')
      log.info('x')
    })

    expect(out.last()).toMatchObject({ order: { tenant: 'nested' }, tenant: 'acme' })
  })

  it('reaches grandchildren, and writes a value that must be escaped', () => {
    const out = memory()
    const log = make({}, out).child({ a: 1 }).child({ b: 2 })

    runInScope(() => {
      tenant.set('"quoted"\n\u2028{"tenant":1}')
      log.info('x')
    })

    expect(out.last()).toMatchObject({ a: 1, b: 2, tenant: '"quoted"\n\u2028{"tenant":1}' })
    expect(out.raw[0]?.split('\n')).toHaveLength(2)
  })

  it.each<[name: string, value: string]>([
    ['a quote', 'a"b'],
    ['a backslash', 'a\\b'],
    ['a tab', 'a\tb'],
    ['DEL', 'a\x7fb'],
    ['a letter of latin1', 'caf\u00e9'],
    ['a character of two code units', '\u{1f600}'],
    ['nothing to escape, and more than 64 characters', 'x'.repeat(65)],
    ['nothing at all', ''],
  ])('writes a value with %s as JSON does', (_name, value) => {
    const out = memory()
    const log = make({}, out)

    runInScope(() => {
      tenant.set(value)
      log.info('x')
    })

    expect(out.raw[0]).toContain(`"tenant":${JSON.stringify(value)}`)
  })

  it('writes for each of two overlapping units its own fields', async () => {
    const out = memory()
    const log = make({}, out)
    const unit = (name: string) =>
      runInScope(async () => {
        tenant.set(name)
        for (let i = 0; i < 5; i++) {
          log.info({ expected: name }, 'x')
          await Promise.resolve()
        }
      })

    await Promise.all([unit('a'), unit('b')])

    expect(out.lines()).toHaveLength(10)
    for (const line of out.lines()) expect(line['tenant']).toBe(line['expected'])
  })

  it('shows the name and id of a task on its lines', async () => {
    const out = memory()
    const log = make({}, out)

    const task = runInScope(() => {
      tenant.set('acme')
      const spawned = spawn(() => log.info('in'), { name: 'send-receipt' })
      log.info('out')
      return spawned
    })
    await task.result()

    expect(out.lines()).toMatchObject([{ task_name: 'send-receipt', task_id: task.id, tenant: 'acme' }, { msg: 'out' }])
    expect(out.last()).not.toHaveProperty('task_name')
  })

  it('shows only the survivors after the end of the unit', () => {
    const out = memory()
    const log = make({}, out)

    const late = runInScope(() => {
      tenant.set('acme')
      requestId.set('r')
      return bind(() => log.info('late'))
    })
    late()

    expect(out.last()).toMatchObject({ request_id: 'r' })
    expect(out.last()).not.toHaveProperty('tenant')
  })

  it("sees the driver's current values from a generator", () => {
    const out = memory()
    const log = make({}, out)
    const steps = isolateGenerator(function* () {
      for (;;) {
        log.info('step')
        yield
      }
    })

    runInScope(() => {
      const generator = steps()
      tenant.set('a')
      generator.next()
      tenant.set('b')
      generator.next()
    })

    expect(out.lines().map((line) => line['tenant'])).toEqual(['a', 'b'])
  })
})

describe('contextLogger', () => {
  const log = (options: LoggerOptions = {}, fields = {}) => {
    const out = memory()
    return { out, log: contextLogger(pino(options, out), { fields: { tenant, ...fields } }) }
  }

  it('logs the declared form of a value', () => {
    const { out, log: logger } = log({}, { user_id: { variable: user, format: (value: { id: number }) => value.id } })

    runInScope(() => {
      user.set({ id: 7, password: 'x' })
      logger.info('x')
    })

    expect(out.last()).toMatchObject({ user_id: 7 })
  })

  it.each([
    ['of a plain logger', {}],
    ['of a child that has one of the keys', { tenant: 'child' }],
  ])('calls the format of a field once for each write, not for each line, %s', (_name, bindings) => {
    let calls = 0
    const format = ({ id }: { id: number }) => {
      calls++
      return id
    }
    const { log: logger } = log({}, { user_id: { variable: user, format } })
    const child = logger.child(bindings)

    runInScope(() => {
      tenant.set('acme')
      user.set({ id: 7, password: 'x' })
      for (let line = 0; line < 5; line++) child.info('x')
    })

    expect(calls).toBe(1)
  })

  it.each(['user.id', 'a"b', '(', '$1|^[a-z]*?', '\\d{2}', ''])(
    'leaves the key %j to a child that has bound it',
    (key) => {
      const { out, log: logger } = log({}, { [key]: user })
      const child = logger.child({ [key]: 'child' })

      runInScope(() => {
        user.set({ id: 7, password: 'x' })
        logger.info('without')
        child.info('with')
      })

      expect(out.lines().map((line) => line[key])).toEqual([{ id: 7, password: 'x' }, 'child'])
      expect(out.raw[1]?.split(`${JSON.stringify(key)}:`)).toHaveLength(2)
    },
  )

  it('leaves out a field whose format or whose writing throws, and logs the line', () => {
    const { out, log: logger } = log(
      {
        serializers: {
          bad: () => {
            throw new Error('serializer')
          },
        },
      },
      {
        broken: {
          variable: tenant,
          format: () => {
            throw new Error('format')
          },
        },
        bad: tenant,
      },
    )

    runInScope(() => {
      tenant.set('acme')
      logger.info('x')
    })

    expect(out.last()).toMatchObject({ tenant: 'acme', msg: 'x' })
    expect(out.last()).not.toHaveProperty('broken')
    expect(out.last()).not.toHaveProperty('bad')
  })

  it.each([
    ['redacts a field', { redact: ['tenant'] }, { tenant: '[Redacted]' }],
    ['redacts inside a field', { redact: ['user.password'] }, { user: { id: 7, password: '[Redacted]' } }],
    ['serializes a field', { serializers: { user: (value: { id: number }) => value.id } }, { user: 7 }],
  ])('%s by the options of the logger', (_case, options, expected) => {
    const { out, log: logger } = log(options, { user })

    runInScope(() => {
      tenant.set('acme')
      user.set({ id: 7, password: 'x' })
      logger.info('x')
    })

    expect(out.last()).toMatchObject(expected)
  })

  it('removes a field that redaction removes', () => {
    const { out, log: logger } = log({ redact: { paths: ['tenant'], remove: true } })

    runInScope(() => {
      tenant.set('acme')
      logger.info('x')
    })

    expect(out.raw[0]).not.toContain('acme')
    expect(out.last()).not.toHaveProperty('tenant')
  })

  it.each<[name: string, options: ChildLoggerOptions, ofChild: object]>([
    ['serializers', { serializers: { user: () => 'child' } }, { user: 'child', tenant: 'acme' }],
    ['redaction', { redact: ['tenant'] }, { user: { id: 7 }, tenant: '[Redacted]' }],
    [
      'serializers and redaction',
      { serializers: { user: () => 'child' }, redact: ['tenant'] },
      { user: 'child', tenant: '[Redacted]' },
    ],
  ])("uses a child's own %s, before and after a line of its parent", (_name, options, ofChild) => {
    const { out, log: logger } = log({}, { user })
    const child = logger.child({}, options)

    runInScope(() => {
      tenant.set('acme')
      user.set({ id: 7, password: 'x' })
      child.info('x')
      logger.info('y')
      child.info('z')
    })

    const ofParent = { user: { id: 7 }, tenant: 'acme' }
    expect(out.lines()).toMatchObject([ofChild, ofParent, ofChild])
  })

  it('writes no key twice where a formatter adds one', () => {
    const { out, log: logger } = log({ formatters: { log: (object) => ({ ...object, tenant: 'formatter' }) } })

    runInScope(() => {
      tenant.set('acme')
      requestId.set('r')
      logger.info('x')
    })

    expect(out.last()).toMatchObject({ tenant: 'formatter', request_id: 'r' })
    expect(occurrences(out.raw[0], 'tenant')).toBe(1)
  })

  it('keeps its fields at the top where the object is nested', () => {
    const { out, log: logger } = log({ nestedKey: 'payload' })

    runInScope(() => {
      tenant.set('acme')
      logger.info({ tenant: 'call' }, 'x')
    })

    expect(out.last()).toMatchObject({ tenant: 'acme', payload: { tenant: 'call' } })
  })

  it('stays whole where a value logs while it is written', () => {
    const { out, log: logger } = log()

    runInScope(() => {
      tenant.set('acme')
      logger.info({ value: { toJSON: () => (logger.info('inner'), 1) } }, 'outer')
      logger.info('after')
    })

    expect(out.lines().map((line) => line['msg'])).toEqual(['inner', 'outer', 'after'])
    for (const line of out.raw) expect(occurrences(line, 'tenant')).toBe(1)
  })

  it('leaves the logger as it was where writing the line throws', () => {
    const { out, log: logger } = log({
      serializers: {
        boom: () => {
          throw new Error('boom')
        },
      },
    })

    runInScope(() => {
      tenant.set('acme')
      expect(() => logger.info({ boom: 1 })).toThrow('boom')
      tenant.set('other')
      logger.info('x')
    })

    expect(out.last()).toMatchObject({ tenant: 'other' })
    expect(occurrences(out.raw.at(-1), 'tenant')).toBe(1)
  })

  it.each([
    ['a sensitive variable', { secret }, /sensitive 'secret'/],
    ['no variable', { tenant: 'acme' }, /expected a ContextVar/],
    ['a key the library writes', { trace_id: tenant }, /not taken/],
    ['a key pino writes', { msg: tenant }, /not taken/],
  ])('refuses %s as a field', (_case, fields, message) => {
    expect(() => contextLogger(pino(), { fields: fields as never })).toThrow(message)
    expect(() => pinoMixin({ fields: fields as never })).toThrow(message)
  })

  it('refuses the key of the message, whatever it is called', () => {
    expect(() => contextLogger(pino({ messageKey: 'message' }), { fields: { message: tenant } })).toThrow(/'message'/)
  })

  it('refuses a value that is not a pino logger, and an unknown option', () => {
    expect(() => contextLogger(console as never)).toThrow(/expected a logger of pino/)
    expect(() => contextLogger(null as never)).toThrow(/expected a pino logger/)
    expect(() => contextLogger(pino(), { field: {} } as never)).toThrow(/unknown option 'field'/)
    expect(() => pinoMixin(null as never)).toThrow('pinoMixin: expected an options object, got null.')
    expect(() => pinoMixin({ mixin: 1 as never })).toThrow("pinoMixin: option 'mixin' expected a function, got 1.")
  })
})

const withOptions: Record<string, (options: LogFieldsOptions, out: Output, bindings?: Bindings) => Logger> = {
  contextLogger: (options, out, bindings = {}) => contextLogger(pino({}, out), options).child(bindings),
  pinoMixin: (options, out, bindings = {}) => pino({ mixin: pinoMixin(options) }, out).child(bindings),
}

describe.each(Object.entries(withOptions))('%s, option keys', (_name, make) => {
  const inUnit = (work: () => void) =>
    runInScope(() => {
      requestId.set('r')
      traceContext.set(new TraceContext({ traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' }))
      tenant.set('acme')
      work()
    })

  it('renames a field, and omits one', () => {
    const out = memory()
    const log = make({ keys: { trace_id: 'dd.trace_id', span_id: 'dd.span_id', trace_flags: false } }, out)

    inUnit(() => log.info('x'))

    expect(out.last()).toMatchObject({
      request_id: 'r',
      'dd.trace_id': '0af7651916cd43dd8448eb211c80319c',
      'dd.span_id': 'b7ad6b7169203331',
    })
    for (const key of ['trace_id', 'span_id', 'trace_flags']) expect(out.last()).not.toHaveProperty(key)
  })

  it('leaves a renamed key to the log call and to a child', () => {
    const out = memory()
    const log = make({ keys: { request_id: 'reqId', trace_id: 'trace' } }, out, { reqId: 'child' })

    inUnit(() => log.info({ trace: 'call' }, 'x'))

    expect(out.last()).toMatchObject({ reqId: 'child', trace: 'call' })
    for (const key of ['reqId', 'trace']) expect(occurrences(out.raw[0], key)).toBe(1)
  })

  it('allows two fields to exchange their keys, and a declared field to have the name of an omitted one', () => {
    const out = memory()
    const log = make(
      { keys: { trace_id: 'span_id', span_id: 'trace_id', request_id: false }, fields: { request_id: tenant } },
      out,
    )

    inUnit(() => log.info('x'))

    expect(out.last()).toMatchObject({
      request_id: 'acme',
      span_id: '0af7651916cd43dd8448eb211c80319c',
      trace_id: 'b7ad6b7169203331',
    })
  })

  it('takes undefined as not set', () => {
    const out = memory()
    const log = make({ keys: { request_id: undefined as never } }, out)

    inUnit(() => log.info('x'))

    expect(out.last()).toMatchObject({ request_id: 'r' })
  })

  it('formats the trace, as for a tool that reads decimal ids', () => {
    const out = memory()
    const low = (hex: string) => String(BigInt(`0x${hex.slice(-16)}`))
    const log = make(
      {
        keys: { trace_id: false },
        fields: { 'dd.trace_id': { variable: traceContext, format: ({ traceId }: TraceContext) => low(traceId) } },
      },
      out,
    )

    inUnit(() => log.info('x'))

    expect(out.last()).toMatchObject({ 'dd.trace_id': '9532127138774266268' })
  })

  it.each<[name: string, options: unknown, message: RegExp]>([
    ['an unknown field', { keys: { trace: 'x' } }, /option 'keys' expected an object that has a key or false/],
    ['a key that is not a string', { keys: { trace_id: 1 } }, /option 'keys' expected/],
    ['an empty key', { keys: { trace_id: '' } }, /option 'keys' expected/],
    ['true', { keys: { trace_id: true } }, /option 'keys' expected/],
    ['null', { keys: null }, /option 'keys' expected/],
    [
      'a key that pino writes',
      { keys: { trace_id: 'msg' } },
      /field 'trace_id': expected a key that is not taken, got 'msg'/,
    ],
    ['the key of another field', { keys: { trace_id: 'span_id' } }, /not taken, got 'span_id'/],
    ['the key of a declared field', { keys: { trace_id: 'shop' }, fields: { shop: tenant } }, /not taken, got 'shop'/],
  ])('refuses %s', (_case, options, message) => {
    expect(() => make(options as LogFieldsOptions, memory())).toThrow(message)
  })
})

interface Output {
  write(line: string): void
}
