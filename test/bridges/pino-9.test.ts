import { createRequire } from 'node:module'
import { ContextVar, runInScope } from 'logical-context'
import { contextLogger, pinoMixin } from 'logical-context/bridges/pino'
import { requestId } from 'logical-context/variables'
import { type LoggerOptions, pino, type pino as Pino } from 'pino'
import { describe, expect, it } from 'vitest'

/** Fastify 5.0.0 brings it. */
const require = createRequire(import.meta.resolve('fastify-5-0/package.json'))
const pino9 = require('pino') as typeof Pino
const { version } = require('pino/package.json') as { version: string }

const tenant = new ContextVar<string>('tenant')
const user = new ContextVar<{ id: number; password: string }>('user')
const fields = { tenant, user }

/** What a program writes in a unit, with these options of pino. */
function linesOf(make: typeof Pino, options: LoggerOptions, isMixin: boolean): string[] {
  const lines: string[] = []
  const output = { write: (line: string) => void lines.push(line) }
  const all = { base: null, timestamp: false, ...options }
  const log = isMixin
    ? make({ ...all, mixin: pinoMixin({ fields }) }, output)
    : contextLogger(make(all, output), { fields })
  runInScope(() => {
    requestId.set('r-1')
    tenant.set('acme')
    user.set({ id: 7, password: 'hunter2' })
    log.info('hello %s', 'ann')
    log.info({ tenant: 'call', user: { id: 8, password: 'hunter2' } }, 'call')
    log.child({ tenant: 'child' }).warn({ err: 'none' }, 'child')
    log.child({ part: 1 }, { redact: ['part'] }).error('redacted')
  })
  log.info('outside')
  return lines
}

describe('the bridge to pino', () => {
  it.each<[name: string, options: LoggerOptions]>([
    ['no options', {}],
    ['redact', { redact: ['user.password'] }],
    ['nestedKey', { nestedKey: 'payload' }],
    ['formatters', { formatters: { log: (object) => ({ ...object, formatted: true }) } }],
    ['serializers', { serializers: { user: ({ id }: { id: number }) => id } }],
    ['messageKey and msgPrefix', { messageKey: 'message', msgPrefix: 'shop: ' }],
  ])('writes the lines of pino 9 as those of pino 10, with %s', (_, options) => {
    expect(version).toMatch(/^9\./)
    for (const isMixin of [false, true]) {
      const lines = linesOf(pino9, options, isMixin)

      expect(lines).toEqual(linesOf(pino, options, isMixin))
      expect(lines[0]).toContain('"request_id":"r-1"')
    }
  })
})
