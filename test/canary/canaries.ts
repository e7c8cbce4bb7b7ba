import { ContextVar, runInScope, type RequestScope } from 'logical-context'
import { requestId, traceContext, TraceContext } from 'logical-context/variables'
import { xRequestId, w3cBaggage, w3cTraceContext } from 'logical-context/propagators'

/** `declared` may go where it is declared for; `plain` is declared for nothing; `sensitive` is never to be seen. */
export type Canary = 'declared' | 'plain' | 'sensitive'

/** Texts that every encoding changes, and that do not occur by chance. */
export const canaries: Readonly<Record<Canary, string>> = {
  declared: 'canary 1=déclaré+94f1',
  plain: 'canary 2=ünbenannt/c07a',
  sensitive: 'canary 3=gehëim&5e2d',
}

export const declared = new ContextVar<string>('declared', { onSpawn: 'keep' })
export const plain = new ContextVar<string>('plain', { survivesSeal: true })
export const sensitive = new ContextVar<string>('sensitive', { sensitive: true, onSpawn: 'keep', survivesSeal: true })

export const propagators = [w3cTraceContext(), w3cBaggage({ members: { declared } }), xRequestId()]

export function setAll(): void {
  declared.set(canaries.declared)
  plain.set(canaries.plain)
  sensitive.set(canaries.sensitive)
}

/** Runs `fn` in a unit that has all canaries. */
export function knowingAll<R>(fn: (scope: RequestScope) => R, onLateUse: () => void = () => {}): R {
  return runInScope(
    (scope) => {
      setAll()
      requestId.set('request-1')
      traceContext.set(new TraceContext())
      return fn(scope)
    },
    { name: 'all canaries', onLateUse },
  )
}

/** The canaries that a printed context shows: all except the sensitive one. */
export const ofContext: readonly Canary[] = ['declared', 'plain']

/** A kind of output. `run` returns the output. It must contain the canaries in `may`, and no others. */
export interface Exit {
  readonly name: string
  readonly may: readonly Canary[]
  readonly run: () => unknown
}

/** The canaries that are in a text, in any of the forms that texts are sent in. */
export function seenIn(text: string): Canary[] {
  return (Object.keys(canaries) as Canary[]).filter((name) =>
    formsOf(canaries[name]).some((form) => text.includes(form)),
  )
}

function formsOf(canary: string): string[] {
  const bytes = Buffer.from(canary)
  // Where it begins within three bytes decides how base64 writes it; what its neighbours touch is left out.
  const inBase64 = [0, 1, 2].map((before) =>
    Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .slice(before === 0 ? 0 : 4, -4),
  )
  const percentEncoded = encodeURIComponent(canary)
  const inAscii = JSON.stringify(canary)
    .slice(1, -1)
    .replaceAll(/[^ -~]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return [
    canary,
    inAscii,
    percentEncoded,
    percentEncoded.toLowerCase(),
    encodeURI(canary),
    // As a member of baggage, of which fewer characters need an escape.
    percentEncoded.replaceAll(/%3D|%2B|%2F|%26/g, decodeURIComponent),
    bytes.toString('latin1'),
    bytes.toString('hex'),
    ...inBase64,
    ...inBase64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
  ]
}
