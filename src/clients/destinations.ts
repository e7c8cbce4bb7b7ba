import { isIPv4, isIPv6 } from 'node:net'
import type { AnyContextVar } from '../context/context-var.ts'
import { anyOf, anything, type Check, type Checks, checkOptions, show } from '../options.ts'

/**
 * A list of hosts. `api.example.com` matches that host on any port. `.example.com` matches every name below
 * `example.com`, and not `example.com` itself. `localhost:3000` and `[::1]:3000` match one port.
 * `https://api.example.com` matches one scheme and its default port.
 */
export type Hosts = readonly string[]

/** Hosts that receive some variables only. */
export interface DestinationRule {
  /** A host as in `Hosts`. */
  readonly host: string
  /** The variables that these hosts receive. */
  readonly only: readonly AnyContextVar[]
}

/** The hosts that receive values: all values, or those of the listed variables. */
export type Destinations = readonly (string | DestinationRule)[]

/** The destination of a call, such as a `URL`. An empty port is the default port of the scheme. */
export type Target = Pick<URL, 'protocol' | 'hostname' | 'port'>

/** Returns which values a target receives: all, none, or those of the listed variables. */
export type HostMatcher = (target: Target) => boolean | readonly AnyContextVar[]

interface Rule {
  /** The host; or a dot and the name above all hosts of the rule. */
  readonly key: string
  readonly protocol: string | undefined
  readonly port: string | undefined
  /** Undefined means all variables. */
  readonly only: readonly AnyContextVar[] | undefined
}

const defaultPorts: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' }
/** The longest name. RFC 1035, 2.3.4 */
const maxNameLength = 255
/** Characters that a URL parser would drop, decode, or read as the end of the host. */
const strange = /[\s/?#@\\%*]/

export const anArray: Check = anyOf('an array', Array.isArray)
// `parseHost` checks the host.
const ruleChecks: Checks = { host: anything, only: anArray }

/**
 * Compiles a list of hosts to a matcher. A rule matches a whole host, or whole labels at its end.
 *
 * @param owner the function that error messages name.
 * @throws {TypeError} if a host is invalid or a variable is sensitive.
 */
export function compileDestinations(owner: string, list: Destinations): HostMatcher {
  if (list.length === 0) return noHost
  const rules = Map.groupBy(
    list.map((entry) => ruleOf(owner, entry)),
    ({ key }) => key,
  )
  return (target) => {
    const variables: AnyContextVar[] = []
    const port = target.port === '' ? defaultPorts[target.protocol] : target.port
    for (const key of keysOf(target.hostname)) {
      for (const rule of rules.get(key) ?? []) {
        if (rule.protocol !== undefined && rule.protocol !== target.protocol) continue
        if (rule.port !== undefined && rule.port !== port) continue
        if (rule.only === undefined) return true
        variables.push(...rule.only)
      }
    }
    return variables.length > 0 && variables
  }
}

export const noHost: HostMatcher = () => false

/** Makes a target of what a client knows about its destination; null for an invalid host. */
export function targetOf(protocol: string, host: string, port: string): Target | null {
  const hostname = canonicalHost(host)
  return hostname === undefined ? null : { protocol, hostname, port }
}

/** The keys of the rules that can match a host: the host itself, and the suffix of each of its parents. */
function* keysOf(hostname: string): Generator<string, void, undefined> {
  const host = withoutFinalDot(hostname)
  // A redirect chooses its host, so the number of lookups is bounded.
  if (host.length > maxNameLength) return
  // `.example.com` as a host has an empty label. It is not below `example.com`, and its text must not match the rule.
  if (host.startsWith('.')) return
  yield host
  for (let dot = host.indexOf('.', 1); dot !== -1; dot = host.indexOf('.', dot + 1)) yield host.slice(dot)
}

function ruleOf(owner: string, entry: unknown): Rule {
  if (typeof entry === 'string') return { ...parseHost(owner, entry), only: undefined }
  const { host, only }: Partial<DestinationRule> = checkOptions(`${owner}: a destination`, entry ?? [], ruleChecks)
  if (only === undefined) throw new TypeError(`${owner}: expected a destination with 'only', got ${show(entry)}.`)
  for (const variable of only as readonly (Partial<AnyContextVar> | null)[]) {
    if (typeof variable?.sensitive === 'boolean' && !variable.sensitive) continue
    throw new TypeError(`${owner}: expected variables that are not sensitive in 'only', got ${show(variable)}.`)
  }
  return { ...parseHost(owner, host), only }
}

function parseHost(owner: string, entry: unknown): Omit<Rule, 'only'> {
  const parts = typeof entry === 'string' ? splitHost(entry) : undefined
  const name = parts && withoutFinalDot(canonicalHost(parts.host) ?? '')
  if (parts === undefined || name === undefined || name === '' || (parts.dot !== '' && isAddress(name))) {
    throw new TypeError(
      `${owner}: expected a host such as 'api.example.com', '.example.com' or 'https://api.example.com:8443', ` +
        `got ${show(entry)}.`,
    )
  }
  const { scheme, dot, port } = parts
  if (scheme === undefined) return { key: `${dot}${name}`, protocol: undefined, port }
  const protocol = `${scheme}:`
  return { key: `${dot}${name}`, protocol, port: port ?? defaultPorts[protocol] }
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
  const parts = { scheme: scheme?.toLowerCase(), dot: rest.startsWith('.') ? '.' : '' }
  const whole = rest.slice(parts.dot.length)
  if (isIPv6(whole)) return { ...parts, host: whole, port: undefined }
  const [, host = '', port] = /^(.*?)(?::(\d+))?$/.exec(whole) ?? []
  if (port !== undefined && (port.length > 5 || Number(port) > 65_535)) return undefined
  return { ...parts, host, port: port && String(Number(port)) }
}

/** A host in the form of `URL.hostname`: lower case, ASCII, IPv6 in brackets; undefined for an invalid host. */
function canonicalHost(host: string): string | undefined {
  if (isIPv6(host)) return URL.parse(`http://[${host}]/`)?.hostname
  if (host === '' || host.startsWith('.') || strange.test(host)) return undefined
  // A URL parser would read the text after a colon as the port, and drop the default port.
  if (host.startsWith('[') ? !host.endsWith(']') : host.includes(':')) return undefined
  const hostname = URL.parse(`http://${host}/`)?.hostname
  // The parser turns the other dots of Unicode into `.`: at the start, one would turn a host into a suffix.
  return hostname?.startsWith('.') ? undefined : hostname
}

function isAddress(hostname: string): boolean {
  return hostname.startsWith('[') || isIPv4(hostname)
}

/** `example.com.` is the fully qualified form of `example.com`. */
function withoutFinalDot(hostname: string): string {
  return hostname.endsWith('.') ? hostname.slice(0, -1) : hostname
}
