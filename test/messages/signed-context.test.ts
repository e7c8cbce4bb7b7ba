import { generateKeyPairSync, randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import { compactVerify, CompactSign, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose'
import { ContextVar, runInScope } from 'logical-context'
import { contextFetch } from 'logical-context/clients/fetch'
import { Messages } from 'logical-context/messages/message'
import { signedContext } from 'logical-context/messages/signed-context'
import logicalContext from 'logical-context/middleware/fastify'
import { w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { message, requestId, TraceContext, traceContext, Tracestate } from 'logical-context/variables'
import { describe, expect, it, onTestFinished, vi } from 'vitest'

const tenant = new ContextVar<string>('tenant')
const formats = [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { tenant } })]
const secret = (): JWK => ({ kty: 'oct', k: randomBytes(32).toString('base64url') })
const old = secret()
const next = secret()
const field = 'logical-context-signature'

const shortKey = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })

async function pair(algorithm: string): Promise<{ privateKey: JWK; publicKey: JWK }> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true })
  return { privateKey: await exportJWK(privateKey), publicKey: await exportJWK(publicKey) }
}

async function openMessages(options: Parameters<typeof signedContext>[1], more = {}): Promise<Messages> {
  return new Messages('test', { propagators: [await signedContext(formats, options)], ...more })
}

/** The fields of a message of acme. */
function send(messages: Messages): Record<string, string> {
  return runInScope(() => {
    tenant.set('acme')
    requestId.set('r-1')
    traceContext.set(new TraceContext({ traceId: '0af7651916cd43dd8448eb211c80319c' }))
    return messages.capture('orders')
  })
}

/** Whether a receiver uses the fields, and how many it has refused. */
async function receive(messages: Messages, fields: Record<string, string>): Promise<[boolean, number]> {
  const before = messages.counters.refused
  const seen = await messages.process({ queue: 'orders', fields }, () => [tenant.get(), requestId.get()])
  if (seen[0] === undefined) expect(seen[1]).not.toBe('r-1')
  return [seen[0] === 'acme', Math.min(1, messages.counters.refused - before)]
}

describe('signedContext', () => {
  it.each([['HS256'], ['EdDSA'], ['ES256'], ['RS256']])('uses what was signed with %s', async (algorithm) => {
    const { privateKey, publicKey } =
      algorithm === 'HS256' ? { privateKey: old, publicKey: old } : await pair(algorithm)
    const sender = await openMessages({ keys: { k: privateKey }, current: 'k' })
    const receiver = await openMessages({ keys: { k: publicKey } }, { trust: false })

    expect(await receive(receiver, send(sender))).toEqual([true, 0])
  })

  it('signs fields that fill the budget of a message', async () => {
    const messages = await openMessages({ keys: { k: old }, current: 'k' })
    const fields = runInScope(() => {
      tenant.set('x'.repeat(7300))
      const state = Tracestate.parse(`a=${'y'.repeat(250)},b=${'z'.repeat(250)}`)
      traceContext.set(new TraceContext({ state }))
      return messages.capture('orders')
    })

    const seen = await messages.process({ queue: 'orders', fields }, () => tenant.get())

    expect([seen?.length, messages.counters.truncated, messages.counters.refused]).toEqual([7300, 0, 0])
  })

  it('writes a JWS that jose verifies, and accepts one that jose signed', async () => {
    const messages = await openMessages({ keys: { k: old }, current: 'k' })
    const fields = send(messages)
    const key = await importJWK(old, 'HS256')

    const { payload, protectedHeader } = await compactVerify(String(fields[field]), key)
    const signed = await new CompactSign(payload).setProtectedHeader(protectedHeader).sign(key)

    expect(protectedHeader).toEqual({ alg: 'HS256', kid: 'k' })
    expect(await receive(messages, { ...fields, [field]: signed })).toEqual([true, 0])
  })

  it('accepts each known key while keys rotate', async () => {
    const before = await openMessages({ keys: { old }, current: 'old' })
    const during = await openMessages({ keys: { old, next }, current: 'next' })
    const after = await openMessages({ keys: { next }, current: 'next' })

    expect(await receive(during, send(before))).toEqual([true, 0])
    expect(await receive(after, send(during))).toEqual([true, 0])
    expect(await receive(after, send(before))).toEqual([false, 1])
  })

  it('refuses a signature that is older than the limit, or of the future', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    onTestFinished(() => void vi.useRealTimers())
    const messages = await openMessages({ keys: { old }, current: 'old', maxAgeMs: 10_000 })
    const fields = send(messages)
    const at = (ms: number) => {
      vi.setSystemTime(1_700_000_000_000 + ms)
      return receive(messages, fields)
    }

    expect(await at(10_000)).toEqual([true, 0])
    expect(await at(12_000)).toEqual([false, 1])
    expect(await at(-60_000)).toEqual([true, 0])
    expect(await at(-62_000)).toEqual([false, 1])
  })

  it.each<[string, (fields: Record<string, string>) => Promise<Record<string, string>> | Record<string, string>]>([
    ['without a signature', (fields) => without(fields, field)],
    ['with a changed field', (fields) => ({ ...fields, baggage: 'tenant=mallory' })],
    ['without a field', (fields) => without(fields, 'baggage')],
    ['with a changed signature', (fields) => ({ ...fields, [field]: `${fields[field]?.slice(0, -2)}AA` })],
    ['with an empty signature', (fields) => ({ ...fields, [field]: '' })],
    ['with a text for a signature', (fields) => ({ ...fields, [field]: 'signed by mallory' })],
    ['with four parts', (fields) => ({ ...fields, [field]: `${fields[field]}.AA` })],
    ['with parts that are not JSON', (fields) => ({ ...fields, [field]: 'AA.AA.AA' })],
    ['with a signature that is too long', (fields) => ({ ...fields, [field]: `${fields[field]}${'A'.repeat(4000)}` })],
    ['without an algorithm', (fields) => ({ ...fields, [field]: withHeader(fields, { alg: 'none', kid: 'k' }) })],
    ['with another algorithm', (fields) => ({ ...fields, [field]: withHeader(fields, { alg: 'EdDSA', kid: 'k' }) })],
    ['with a key of the prototype', (fields) => ({ ...fields, [field]: withHeader(fields, { kid: '__proto__' }) })],
    ['signed by another key of the same id', async () => send(await openMessages({ keys: { k: next }, current: 'k' }))],
  ])('treats a message %s as one of an unknown sender, counts it, and does not throw', async (_, change) => {
    const messages = await openMessages({ keys: { k: old }, current: 'k' })

    expect(await receive(messages, await change(send(messages)))).toEqual([false, 1])
  })

  it.each([
    ['changed', (text: string) => text.replace('isolate', 'inherit')],
    ['removed', () => undefined],
  ])(
    'treats a message whose policy was %s as one of an unknown sender, without its policy and link',
    async (_, change) => {
      const messages = await openMessages({ keys: { k: old }, current: 'k' })
      const { 'logical-context': meta, ...fields } = runInScope(() => messages.capture('orders', 'isolate'))
      const changed = change(String(meta))
      const received = changed === undefined ? fields : { ...fields, 'logical-context': changed }

      const seen = await messages.process({ queue: 'orders', fields: received }, () => [
        message.get()?.policy,
        traceContext.get()?.traceId,
      ])

      expect(seen).toEqual([undefined, expect.not.stringMatching(String(fields['traceparent']).slice(3, 35))])
      expect(messages.counters.refused).toBeGreaterThan(0)
    },
  )

  it('uses the policy and the link of a known sender also with trust: false, and of no other one', async () => {
    const sender = await openMessages({ keys: { k: old }, current: 'k' })
    const receiver = await openMessages({ keys: { k: old } }, { trust: false })
    const stranger = new Messages('test', { propagators: formats })
    const trace = new TraceContext()
    const isolated = (messages: Messages) =>
      runInScope(() => {
        traceContext.set(trace)
        return messages.capture('orders', 'isolate')
      })
    const read = (fields: Record<string, string>) =>
      receiver.process({ queue: 'orders', fields }, () => [message.get()?.policy, traceContext.get()?.link?.traceId])

    expect(await read(isolated(sender))).toEqual(['isolate', trace.traceId])
    expect(await read(isolated(stranger))).toEqual([undefined, expect.not.stringMatching(trace.traceId)])
  })

  it('does not count a message without fields', async () => {
    expect(await receive(await openMessages({ keys: { k: old } }), {})).toEqual([false, 0])
  })

  it('decides over HTTP instead of the address of the peer', async () => {
    const signing = await signedContext(formats, { keys: { k: old }, current: 'k' })
    const app = Fastify()
    await app.register(logicalContext, { propagators: [signing], onRefusal() {} })
    app.get('/', () => ({ tenant: tenant.get() ?? null, id: requestId.get() }))
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    onTestFinished(() => app.close())
    const call = (propagators: typeof formats) =>
      runInScope(async () => {
        tenant.set('acme')
        requestId.set('r-1')
        return (await contextFetch.with({ propagators, values: ['127.0.0.1'] })(url)).json()
      })

    expect(await call([signing])).toEqual({ tenant: 'acme', id: 'r-1' })
    expect(await call(formats)).toEqual({ tenant: null, id: expect.not.stringMatching('r-1') })
  })

  it.each<[string, unknown, RegExp]>([
    ['no keys', {}, /option 'keys': expected an object of JWKs/],
    ['no keys of an object', { keys: 'secret' }, /option 'keys' expected an object of JWKs/],
    ['an unknown key', { keys: { old }, current: 'next' }, /'current' expected the id of a private or secret key/],
    ['a key that is too short', { keys: { k: { kty: 'oct', k: 'AAAA' } } }, /key 'k' expected at least 32 bytes/],
    ['a key of an unknown type', { keys: { k: { kty: 'x' } } }, /key 'k' expected a JWK of the type oct, OKP, EC, RSA/],
    ['a Map of keys', { keys: new Map([['k', old]]) }, /option 'keys' expected an object of JWKs/],
    ['a key of RSA that is too short', { keys: { k: shortKey } }, /key 'k' expected at least 2048 bits/],
    ['a key that is not a JWK', { keys: { k: { kty: 'RSA' } } }, /key 'k' expected a valid JWK for RS256/],
    ['an unknown option', { keys: { old }, secret: 'x' }, /unknown option 'secret'/],
  ])('refuses %s', async (_, options, message) => {
    await expect(signedContext(formats, options as never)).rejects.toThrow(message)
    await expect(signedContext(formats, options as never)).rejects.toThrow(TypeError)
  })
})

function withHeader(fields: Record<string, string>, header: object): string {
  const [, payload, signature] = String(fields[field]).split('.')
  return [Buffer.from(JSON.stringify(header)).toString('base64url'), payload, signature].join('.')
}

function without(fields: Record<string, string>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).filter(([known]) => known !== name))
}
