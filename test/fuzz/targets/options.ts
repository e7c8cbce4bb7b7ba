import { ensure, type FuzzTarget } from '../target.ts'
import { oddValues } from './odd-values.ts'
import { owners } from './option-owners.ts'

const optionNames = [
  ...['name', 'policy', 'onError', 'onSpawn', 'default', 'sensitive', 'isolate', 'concurrency', 'signal', 'header'],
  ...['format', 'maxMs', 'generate', 'members', 'others', 'inject', 'propagators', 'trace', 'values', 'onRefusal'],
  ...['trust', 'limits', 'onRefusal', 'lateWrites', 'onLateUse', 'fields', 'mixin', 'peer', 'destination', 'to'],
  ...['trusts', 'decide', 'privatePeers', 'otherPeers', 'timeoutMs', 'maxRunning', 'maxQueued', 'whenFull', 'context'],
  ...['group', 'fetch', 'origin', 'addresses', '__proto__', 'constructor', 'toString'],
]
const words = [
  'inherit',
  'isolate',
  'share',
  'single',
  'multi',
  'grpc',
  'milliseconds',
  'keep',
  'drop',
  'throw',
  'report',
]

const aborted = oddValues.get('an AbortSignal') as AbortSignal

/** The first line names a function; the others are its options, `name=value`, or all of them: `=value`. */
export const options: FuzzTarget = {
  name: 'options',
  seeds: [
    ...[...owners.keys()].map((owner) => `${owner}\nname=text`),
    ...[...owners.keys()].map((owner) => `${owner}\n=null`),
    ...[...owners.keys()].map((owner) => `${owner}\nsignal=an AbortSignal`),
    'w3cBaggage\nmembers=members\nothers=keep',
    'contextFetch.with\nvalues=a list of rules\ntrace=true',
    'grpcServerInterceptor\ntrust=a list of text\npropagators=a list of propagators',
    'ContextVar\nonSpawn=keep\nsensitive=true',
  ],
  tokens: [
    ...owners.keys(),
    ...optionNames.flatMap((name) => [`\n${name}=`, name]),
    ...oddValues.keys(),
    ...words,
    '\n=',
  ],
  read: (input) => call(input),
  async check(input) {
    const error = await call(input)
    const whole =
      /^[^\n]+\n=(null|true|0|1n|a symbol|NaN)$/.test(input) && owners.has(input.slice(0, input.indexOf('\n')))
    ensure(!whole || error !== undefined, 'refuses options that are not an object')
    // What was aborted before rejects with the reason for that.
    if (error === undefined || error === aborted.reason) return
    const { name, code, message } = error as Error & { code?: unknown }
    const isCoded = typeof code === 'string' && code.startsWith('LCTX_')
    const isTold = error instanceof TypeError && /expected/.test(message) && /got|one of/.test(message)
    ensure(isCoded || isTold, 'refuses with a code, or a TypeError that says expected and got', name, message)
    // It names the option, which may be as long as a program likes.
    ensure(message.length < 2000 + input.length, 'says it in short', message.length)
  },
}

/** What the function has thrown, or rejected with. */
async function call(input: string): Promise<unknown> {
  const [owner = '', ...lines] = input.split('\n')
  const use = owners.get(owner)
  if (use === undefined) return undefined
  try {
    await use(optionsOf(lines))
    return undefined
  } catch (error) {
    return error
  }
}

function optionsOf(lines: string[]): never {
  const options: Record<string, unknown> = {}
  for (const line of lines) {
    const equals = line.indexOf('=')
    const text = line.slice(equals + 1)
    const value = oddValues.has(text) ? oddValues.get(text) : text
    if (equals === 0) return value as never
    Object.defineProperty(options, line.slice(0, equals), {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    })
  }
  return options as never
}
