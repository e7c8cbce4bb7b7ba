import {
  createHash,
  createHmac,
  createPublicKey,
  createSecretKey,
  KeyObject,
  sign,
  timingSafeEqual,
  verify,
} from 'node:crypto'
import type { JWK } from 'jose'
import { loadPackage } from '../errors.ts'
import { anAmount, anyOf, aString, type Check, checkArgument, type Checks, checkOptions, isRecord } from '../options.ts'
import type { Carrier } from '../propagators/carrier.ts'
import { compilePropagators } from '../propagators/composite.ts'
import type { Peer, Propagator } from '../propagators/propagator.ts'
import { metaField, signatureField as field } from './message-fields.ts'

/** Longer signatures are not read: an RSA key of 4096 bits needs about 900 characters. */
const longest = 2048
/** How far the clock of a sender may be ahead, in milliseconds. */
const leewayMs = 60_000

type Algorithm = 'HS256' | 'EdDSA' | 'ES256' | 'RS256'
const algorithms: Readonly<Record<string, Algorithm>> = { oct: 'HS256', OKP: 'EdDSA', EC: 'ES256', RSA: 'RS256' }

/** Options of `signedContext`. */
export interface SignedContextOptions {
  /** The keys by their ids, as JWK: `oct` (HS256), `OKP` (EdDSA), `EC` P-256 (ES256) or `RSA` (RS256). */
  keys: Readonly<Record<string, JWK>>
  /** The id of the key that signs. Default: none; this side only verifies. */
  current?: string
  /** How old a signature may be, in milliseconds. A job that waits longer is one of an unknown sender. Default: 1 hour. */
  maxAgeMs?: number
}

const aKeySet: Check = anyOf('an object of JWKs by their ids', isRecord)
const checks: Checks = {
  keys: aKeySet,
  current: aString,
  maxAgeMs: anAmount,
}

interface Key {
  readonly id: string
  readonly algorithm: Algorithm
  readonly key: KeyObject
}

/**
 * A propagator that signs the fields of others, for a broker that several programs write to, and for HTTP between
 * services. Fields with a valid signature are used, whatever the peer is. Fields without one are those of an unknown
 * sender: a new trace and no values. A signature that is wrong, too old or by an unknown key is refused and counted.
 *
 * It loads `jose` to read the keys. To rotate a key, add the new one everywhere, then set `current`, then remove the old
 * one after `maxAgeMs`.
 *
 * @throws {TypeError} if an option is unknown or of the wrong type, or a key cannot be used.
 * @throws {PackageMissingError} if `jose` is not installed.
 * @see {@link https://www.rfc-editor.org/rfc/rfc7515 RFC 7515, JSON Web Signature}
 */
export async function signedContext(
  propagators: readonly Propagator[],
  options: SignedContextOptions,
): Promise<Propagator> {
  const { keys: jwks, current, maxAgeMs = 3_600_000 } = checkOptions('signedContext', options, checks)
  checkArgument("signedContext: option 'keys'", aKeySet, jwks)
  const inner = compilePropagators('signedContext:', propagators)
  // A message also has the field of its policy and its time.
  const signed = [...inner.fields, metaField]
  const keys = new Map<string, Key>()
  for (const [id, jwk] of Object.entries(jwks)) keys.set(id, await importKey(id, jwk))
  const signer = current === undefined ? undefined : keys.get(current)
  if (current !== undefined && (signer === undefined || signer.key.type === 'public')) {
    throw new TypeError(`signedContext: option 'current' expected the id of a private or secret key, got '${current}'.`)
  }

  return {
    fields: [...signed, field],
    variables: inner.variables ?? [],
    inject(context, carrier, destination) {
      inner.inject(context, carrier, destination)
      const digest = digestOf(signed, carrier)
      if (signer !== undefined && digest !== undefined) carrier.set(field, sealOf(signer, digest))
    },
    extract(context, carrier, peer, extractOptions) {
      return inner.extract(context, carrier, checkedPeer(carrier, peer), extractOptions)
    },
  }

  function checkedPeer(carrier: Carrier, { refuse, verified }: Peer): Peer {
    const digest = digestOf(signed, carrier)
    const seal = carrier.get(field)
    if (digest !== undefined && seal !== undefined && isValid(seal, digest, keys, maxAgeMs)) {
      verified?.()
      return { trace: 'continue', values: true, refuse }
    }
    if (digest !== undefined || seal !== undefined) refuse('refused', field)
    return { trace: 'restart', values: false, refuse }
  }
}

async function importKey(id: string, jwk: JWK): Promise<Key> {
  const algorithm = algorithms[jwk?.kty ?? '']
  const refused = (why: string) => new TypeError(`signedContext: key '${id}' expected ${why}.`)
  if (algorithm === undefined) throw refused(`a JWK of the type ${Object.keys(algorithms).join(', ')}`)
  const { importJWK } = await loadPackage('signedContext', 'jose', () => import('jose'))
  const imported = await importJWK(jwk, algorithm, { extractable: true }).catch((error: unknown) => {
    throw refused(`a valid JWK for ${algorithm}: ${String(error)}`)
  })
  if (imported instanceof Uint8Array && imported.length < 32) throw refused('at least 32 bytes. RFC 7518, 3.2')
  const key = imported instanceof Uint8Array ? createSecretKey(imported) : KeyObject.from(imported)
  const { modulusLength = 2048 } = key.asymmetricKeyDetails ?? {}
  if (modulusLength < 2048) throw refused('at least 2048 bits. RFC 7518, 3.3')
  return { id, algorithm, key }
}

/** The hash of the fields that a carrier has; undefined if it has none. */
function digestOf(fields: readonly string[], carrier: Carrier): string | undefined {
  const found = fields.toSorted().flatMap((name) => {
    const text = carrier.get(name)
    return text === undefined ? [] : [[name, text]]
  })
  return found.length === 0 ? undefined : createHash('sha256').update(JSON.stringify(found)).digest('base64url')
}

/** A JWS whose payload is the time and the hash: the fields travel next to it. */
function sealOf({ id, algorithm, key }: Key, digest: string): string {
  const header = encode({ alg: algorithm, kid: id })
  const text = `${header}.${encode({ iat: Math.floor(Date.now() / 1000), digest })}`
  return `${text}.${signatureOf(algorithm, key, text).toString('base64url')}`
}

function signatureOf(algorithm: Algorithm, key: KeyObject, text: string): Buffer {
  const data = Buffer.from(text)
  if (algorithm === 'HS256') return createHmac('sha256', key).update(data).digest()
  if (algorithm === 'EdDSA') return sign(null, data, key)
  return sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' })
}

/** Whether a JWS is for this hash, by a known key with its own algorithm, and neither too old nor of the future. */
function isValid(seal: string, digest: string, keys: ReadonlyMap<string, Key>, maxAgeMs: number): boolean {
  try {
    if (seal.length > longest) return false
    const [header = '', payload = '', signature = '', ...rest] = seal.split('.')
    const { alg, kid, crit } = decode(header)
    const known = keys.get(String(kid))
    // The key decides about the algorithm, never the sender. RFC 8725, 3.1
    if (known === undefined || known.algorithm !== alg || crit !== undefined || rest.length > 0) return false
    if (!isSignedBy(known, `${header}.${payload}`, Buffer.from(signature, 'base64url'))) return false
    const { iat, digest: signed } = decode(payload)
    const ageMs = Date.now() - Number(iat) * 1000
    return signed === digest && typeof iat === 'number' && ageMs <= maxAgeMs + 999 && ageMs >= -leewayMs
  } catch {
    return false
  }
}

function isSignedBy({ algorithm, key }: Key, text: string, signature: Buffer): boolean {
  if (algorithm === 'HS256') {
    const expected = signatureOf(algorithm, key, text)
    return expected.length === signature.length && timingSafeEqual(expected, signature)
  }
  const data = Buffer.from(text)
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  if (algorithm === 'EdDSA') return verify(null, data, publicKey, signature)
  return verify('sha256', data, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function decode(text: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown>
}
