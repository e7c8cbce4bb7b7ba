import { inspect } from 'node:util'
import * as api from '@opentelemetry/api'
import { openTelemetry } from 'logical-context/bridges/opentelemetry'
import { contextLogger, pinoMixin } from 'logical-context/bridges/pino'
import { contextFetch } from 'logical-context/clients/fetch'
import { inspectorHandler } from 'logical-context/inspector'
import { w3cBaggage } from 'logical-context/propagators'
import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { type Canary, canaries, seenIn, sensitive } from './canaries.ts'
import { channelExits } from './channel-exits.ts'
import { errorExits } from './error-exits.ts'
import { headerExits } from './header-exits.ts'
import { logExits } from './log-exits.ts'
import { printedExits } from './printed-exits.ts'
import { replyExits } from './reply-exits.ts'
import { traceExits } from './trace-exits.ts'

const exits = [
  ...logExits,
  ...headerExits,
  ...printedExits,
  ...errorExits,
  ...channelExits,
  ...traceExits,
  ...replyExits,
]

describe('values that are to stay where they are', () => {
  it.each(exits.map((exit) => [exit.name, exit] as const))(
    'are seen no further than they may be: %s',
    async (_, exit) => {
      const text = textOf(await exit.run())

      expect(text).not.toBe('')
      expect(seenIn(text)).toEqual(exit.may)
    },
  )
})

describe('a sensitive variable', () => {
  it.each<[where: string, declare: () => unknown]>([
    ['contextLogger', () => contextLogger(pino(), { fields: { sensitive } })],
    ['pinoMixin', () => pinoMixin({ fields: { sensitive } })],
    ['inspectorHandler', () => inspectorHandler({ fields: { sensitive } })],
    ['openTelemetry', () => openTelemetry({ api, fields: { sensitive } })],
    ['w3cBaggage', () => w3cBaggage({ members: { sensitive } })],
    ['the destinations of contextFetch', () => contextFetch.with({ values: [{ host: 'a.test', only: [sensitive] }] })],
  ])('is refused where it is declared for a way out: %s', (_, declare) => {
    expect(declare).toThrow(TypeError)
    expect(declare).toThrow(/sensitive/)
  })
})

describe('seenIn', () => {
  it.each<[form: string, text: string]>([
    ['as it is', canaries.sensitive],
    ['percent-encoded', encodeURIComponent(canaries.sensitive)],
    ['in JSON', JSON.stringify({ value: canaries.sensitive })],
    ['in base64', Buffer.from(canaries.sensitive).toString('base64')],
    ['within other text in base64', Buffer.from(`user:${canaries.sensitive}:role`).toString('base64')],
    ['in base64url', Buffer.from(`.${canaries.sensitive}`).toString('base64url')],
    ['in hex', Buffer.from(canaries.sensitive).toString('hex')],
    ['as bytes that are read as latin1', Buffer.from(canaries.sensitive).toString('latin1')],
  ])('finds a value %s', (_, text) => {
    expect(seenIn(`before ${text} after`)).toEqual<Canary[]>(['sensitive'])
  })
})

/** Everything that has gone out, as text and not shortened. */
function textOf(out: unknown): string {
  const texts = Array.isArray(out) ? out : [out]
  const options = { depth: 10, maxStringLength: Infinity, maxArrayLength: Infinity, breakLength: Infinity }
  return texts.map((text) => (typeof text === 'string' ? text : inspect(text, options))).join('\n')
}
