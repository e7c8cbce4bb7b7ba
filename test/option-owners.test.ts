import Fastify from 'fastify'
import { spawn } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { mixedOwners, owners } from './fuzz/targets/option-owners.ts'

/** The name of every option, and of every field of another package's options that the package reads. */
const allNames = [
  ...['addresses', 'api', 'baggage', 'batchSize', 'boss', 'cancelWith', 'children', 'concurrency', 'context', 'decide'],
  ...['deadline', 'default', 'destination', 'directory', 'drainTimeoutMs', 'enqueueTimeoutMs', 'fetch', 'fields'],
  ...['graceMs', 'group', 'header', 'headers', 'inject', 'isolate', 'keys', 'lateWrites', 'limits', 'maxConcurrent'],
  ...['maxMs', 'maxPerRequest', 'maxQueued', 'members', 'mixin', 'noAck', 'onDrained', 'onError', 'onFailure'],
  ...[
    'onLateUse',
    'onRefusal',
    'onSpawn',
    'only',
    'opts',
    'origin',
    'others',
    'otherPeers',
    'peer',
    'policy',
    'privatePeers',
  ],
  ...[
    'propagators',
    'refuse',
    'replyIdHeader',
    'requestSpans',
    'requeue',
    'sensitive',
    'settleTimeoutMs',
    'survivesSeal',
  ],
  ...['telemetry', 'timeout', 'timeoutMs', 'to', 'trace', 'trust', 'trusts', 'undecided', 'url', 'values', 'whenFull'],
  ...['request_id', 'trace_id', 'span_id', 'task_name'],
  ...['after', 'current', 'logger', 'format', 'generate', 'inbound', 'maxAgeMs', 'messagePolicy', 'parse', 'requestId'],
  ...['serverTiming', 'spanPerCall'],
]

/** Fastify reads these from its own objects. */
const fastifyNames = ['after', 'logger']
const onFastify = ['logicalContext', 'logicalContext inside a plugin']

/** What a function needs besides. */
const needed: Readonly<Record<string, object>> = {
  signedContext: { keys: {} },
  'bullContext().flow': { name: 'job', queueName: 'jobs' },
}
// The argument of `composite` is a list.
const all = new Map([...owners, ...mixedOwners].filter(([owner]) => owner !== 'composite'))

afterEach(() => {
  for (const name of allNames) Reflect.deleteProperty(Object.prototype, name)
})

/** The result, or the message of the error, without random ids and times. */
async function outcomeOf(use: (options: never) => unknown, options: unknown): Promise<string> {
  try {
    const result = await use(options as never)
    // Other results have no form that could be compared.
    const shown = isPlain(result) ? JSON.stringify(result) : typeof result
    return shown
      .replaceAll(/"(elapsedMs)":[\d.e-]+/g, '$1')
      .replaceAll(/[\da-f-]{16,}/g, 'id')
      .replaceAll(/;at=\d+/g, ';at')
  } catch (error) {
    return String(error)
  }
}

describe.each([...all])('%s', (owner, use) => {
  const none = needed[owner] ?? {}
  const names = onFastify.includes(owner) ? allNames.filter((name) => !fastifyNames.includes(name)) : allNames

  it('reads no option that other code added to Object.prototype', async () => {
    const before = await outcomeOf(use, { ...none })
    for (const name of names) Reflect.set(Object.prototype, name, 'polluted')

    const polluted = await outcomeOf(use, { ...none })

    for (const name of names) Reflect.deleteProperty(Object.prototype, name)
    expect(polluted).toBe(before)
  })

  it.each([null, 'text', 1, true, [], new Map(), Symbol('options')])('refuses %s with a TypeError', async (options) => {
    await expect((async () => use(options as never))()).rejects.toThrow(/expected .*, got/s)
    await expect((async () => use(options as never))()).rejects.toThrow(TypeError)
  })

  it('takes undefined for an option that is not set', async () => {
    const unset = Object.fromEntries(names.map((name) => [name, undefined]))

    expect(await outcomeOf(use, { ...unset, ...none })).toBe(await outcomeOf(use, { ...none }))
  })
})

describe.each([...all].filter(([owner]) => owners.has(owner)))('%s', (_owner, use) => {
  it('refuses an unknown option with a TypeError', async () => {
    await expect((async () => use({ unknownOption: 1 } as never))()).rejects.toThrow(
      /unknown option 'unknownOption', expected one of/,
    )
  })
})

describe('the options of a route', () => {
  it('have no policy that other code added to Object.prototype', async () => {
    const app = Fastify()
    await app.register(logicalContext)
    app.get('/', { config: { logicalContext: {} } }, async () => [spawn(() => {}).policy])
    await app.ready()
    Reflect.set(Object.prototype, 'policy', 'isolate')

    const answer = await app.inject('/')

    expect(answer.json()).toEqual(['inherit'])
    await app.close()
  })
})

function isPlain(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}
