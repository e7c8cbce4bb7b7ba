/**
 * The host syntax of the options `trust`, `trace` and `values`: a name, an address, `.example.com` or `*.example.com`
 * for all names below `example.com`. A list of destinations can also have a scheme and a port.
 */
export interface HostPattern {
  /** The host in the form of `URL.hostname`; or a dot and the name above all hosts of the pattern. */
  readonly key: string
  readonly protocol: string | undefined
  readonly port: string | undefined
}

const defaultPorts: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' }
/** The longest name. RFC 1035, 2.3.4 */
const maxNameLength = 255
/** Characters that a URL parser would drop, decode, or read as the end of the host. */
const strange = /[\s/?#@\\%*]/

let net: typeof import('node:net') | undefined

/** Loaded at the first use, and not with the package. */
export function nodeNet(): typeof import('node:net') {
  return (net ??= process.getBuiltinModule('node:net'))
}

/** 4, 6, or 0 for another text. */
export function isIP(text: string): number {
  return nodeNet().isIP(text)
}

/** Undefined for an invalid host. */
export function parseHost(entry: unknown): HostPattern | undefined {
  const parts = typeof entry === 'string' ? splitHost(entry) : undefined
  const name = parts && withoutFinalDot(canonicalHost(parts.host) ?? '')
  if (parts === undefined || name === undefined || name === '') return undefined
  const { scheme, dot, port } = parts
  if (dot !== '' && (name.startsWith('[') || isIP(name) === 4)) return undefined
  const key = `${dot}${name}`
  if (scheme === undefined) return { key, protocol: undefined, port }
  const protocol = `${scheme}:`
  return { key, protocol, port: port ?? defaultPorts[protocol] }
}

/** The keys of the patterns that can match a host: the host itself, and the suffix of each of its parents. */
export function* hostKeys(hostname: string): Generator<string, void, undefined> {
  const host = withoutFinalDot(hostname)
  // A redirect chooses its host, so the number of lookups is bounded.
  if (host.length > maxNameLength) return
  // `.example.com` as a host has an empty label. It is not below `example.com`, and its text must not match the rule.
  if (host.startsWith('.')) return
  yield host
  for (let dot = host.indexOf('.', 1); dot !== -1; dot = host.indexOf('.', dot + 1)) yield host.slice(dot)
}

/** The port of a URL without one. */
export function defaultPort(protocol: string): string | undefined {
  return defaultPorts[protocol]
}

/** A host in the form of `URL.hostname`: lower case, ASCII, IPv6 in brackets; undefined for an invalid host. */
export function canonicalHost(host: string): string | undefined {
  if (isIP(host) === 6) return URL.parse(`http://[${host}]/`)?.hostname
  if (host === '' || host.startsWith('.') || strange.test(host)) return undefined
  // A URL parser would read the text after a colon as the port, and drop the default port.
  if (host.startsWith('[') ? !host.endsWith(']') : host.includes(':')) return undefined
  const hostname = URL.parse(`http://${host}/`)?.hostname
  // The parser turns the other dots of Unicode into `.`: at the start, one would turn a host into a suffix.
  return hostname?.startsWith('.') ? undefined : hostname
}

/** Whether an entry matches every host, or every address of one family. */
export function isEveryHost(entry: unknown): boolean {
  if (entry === '*' || entry === '*.' || entry === '.*') return true
  const [address = '', prefix = '', ...rest] = typeof entry === 'string' ? entry.split('/') : []
  if (isIP(address) === 0 || rest.length > 0) return false
  return /^0+$/.test(prefix) || (isIP(prefix) !== 0 && /^[0.:]*$/.test(prefix))
}

/** Public addresses of both families, far away from each other. */
const samples = [
  Array.from({ length: 14 }, (_, i) => `${i * 16 + 2}.200.1.1`),
  ['2001:200::1', '2400::1', '2600::1', '2800::1', '2a00::1', '2c00::1'],
]

/** Whether ranges together contain the public addresses of a family, such as the two halves of all addresses. */
export function containsEveryHost(contains: (address: string) => boolean): boolean {
  return samples.some((addresses) => addresses.every(contains))
}

interface HostParts {
  readonly scheme: string | undefined
  /** The dot of a suffix, else empty. */
  readonly dot: string
  readonly host: string
  readonly port: string | undefined
}

function splitHost(entry: string): HostParts | undefined {
  const [, scheme, rest = ''] = /^(?:(https?):\/\/)?(.*)$/i.exec(entry) ?? []
  const [wildcard = '', star = ''] = /^(\*?)\./.exec(rest) ?? []
  const parts = { scheme: scheme?.toLowerCase(), dot: wildcard.slice(star.length) }
  const whole = rest.slice(wildcard.length)
  if (isIP(whole) === 6) return { ...parts, host: whole, port: undefined }
  const [, host = '', port] = /^(.*?)(?::(\d+))?$/.exec(whole) ?? []
  if (port !== undefined && (port.length > 5 || Number(port) > 65_535)) return undefined
  return { ...parts, host, port: port && String(Number(port)) }
}

/** `example.com.` is the fully qualified form of `example.com`. */
function withoutFinalDot(hostname: string): string {
  return hostname.endsWith('.') ? hostname.slice(0, -1) : hostname
}
