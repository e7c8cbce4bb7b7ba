import { isIPv4, isIPv6 } from 'node:net'
import type { AnyContextVar } from '../context/context-var.ts'
import { anyOf, anything, type Check, type Checks, checkOptions, show } from '../options.ts'

/**
 * Hosts as a list of texts: `api.example.com` is that host on any port, `.example.com` every name below that one but not
 * the name itself, `localhost:3000` and `[::1]:3000` one port, `https://api.example.com` one scheme and its port.
 */
export type Hosts = readonly string[]

/** Hosts that may be told some values only. */
export interface DestinationRule {
  /** As in `Hosts`. */
  readonly host: string
  /** The variables that may go there, and no others. */
  readonly only: readonly AnyContextVar[]
}

/** Who may be told values: all of them, or those of the listed variables. */
export type Destinations = readonly (string | DestinationRule)[]

/** Where a call goes; a `URL` is one. The port is empty for the scheme's own. */
export type Target = Pick<URL, 'protocol' | 'hostname' | 'port'>

/** Says which values a target may be told; of a list of hosts, whether a target is on it. */
export type HostMatcher = (target: Target) => boolean | readonly AnyContextVar[]

interface Rule {
  /** The host, or a dot and the name that all hosts are below of. */
  readonly key: string
  readonly protocol: string | undefined
  readonly port: string | undefined
  /** Undefined for all variables. */
  readonly only: readonly AnyContextVar[] | undefined
}

const defaultPorts: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' }
/** No name is longer. RFC 1035, 2.3.4 */
const maxNameLength = 255
/** What a URL parser would drop, decode, or take for the end of the host. */
const strange = /[\s/?#@\\%*]/

export const anArray: Check = anyOf('an array', Array.isArray)
// `parseHost` checks the host.
const ruleChecks: Checks = { host: anything, only: anArray }

/**
 * Compiles a list to a function of a parsed URL: by the whole host or by whole labels of it, never by a part of a label.
 *
 * @throws {TypeError} for what is no host, and for a variable that is sensitive; `owner` is who it names.
 */
export function compileDestinations(owner: string, list: Destinations): HostMatcher {
  if (list.length === 0) return nobody
  const rules = Map.groupBy(
    list.map((entry) => ruleOf(owner, entry)),
    ({ key }) => key,
  )
  return (target) => {
    const told: AnyContextVar[] = []
    const port = target.port === '' ? defaultPorts[target.protocol] : target.port
    for (const key of keysOf(target.hostname)) {
      for (const rule of rules.get(key) ?? []) {
        if (rule.protocol !== undefined && rule.protocol !== target.protocol) continue
        if (rule.port !== undefined && rule.port !== port) continue
        if (rule.only === undefined) return true
        told.push(...rule.only)
      }
    }
    return told.length > 0 && told
  }
}

export const nobody: HostMatcher = () => false

/** A target of what a client knows of it; null for what is no host. The port is empty for the protocol's own. */
export function targetOf(protocol: string, host: string, port: string): Target | null {
  const hostname = canonicalHost(host)
  return hostname === undefined ? null : { protocol, hostname, port }
}

/** Under what a host may be listed: as it is, and below each of its parents. */
function* keysOf(hostname: string): Generator<string, void, undefined> {
  const host = withoutFinalDot(hostname)
  // A redirect chooses its host: the number of lookups has a limit.
  if (host.length > maxNameLength) return
  // An empty label is none below a name, and `.example.com` as a host is not the rule of that form.
  if (host.startsWith('.')) return
  yield host
  for (let dot = host.indexOf('.', 1); dot !== -1; dot = host.indexOf('.', dot + 1)) yield host.slice(dot)
}

function ruleOf(owner: string, entry: unknown): Rule {
  if (typeof entry === 'string') return { ...parseHost(owner, entry), only: undefined }
  checkOptions(`${owner}: a destination`, entry ?? [], ruleChecks)
  const { host, only } = entry as Partial<DestinationRule>
  if (only === undefined) throw new TypeError(`${owner}: expected 'only' of a destination, got ${show(entry)}.`)
  for (const variable of only as readonly (Partial<AnyContextVar> | null)[]) {
    if (typeof variable?.sensitive === 'boolean' && !variable.sensitive) continue
    throw new TypeError(`${owner}: expected variables that may go out in 'only', got ${show(variable)}.`)
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
  /** Empty, or the dot of a suffix. */
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

/** A host as `URL.hostname` has it: in lower case, in ASCII, IPv6 in brackets; undefined for what is none. */
function canonicalHost(host: string): string | undefined {
  if (isIPv6(host)) return URL.parse(`http://[${host}]/`)?.hostname
  if (host === '' || host.startsWith('.') || strange.test(host)) return undefined
  // A URL parser would take what is behind a colon for the port, and nothing for the usual one.
  if (host.startsWith('[') ? !host.endsWith(']') : host.includes(':')) return undefined
  const hostname = URL.parse(`http://${host}/`)?.hostname
  // There are other dots than ours, and the parser makes them ours: one in front would turn a host into a suffix.
  return hostname?.startsWith('.') ? undefined : hostname
}

function isAddress(hostname: string): boolean {
  return hostname.startsWith('[') || isIPv4(hostname)
}

/** `example.com.` is `example.com`, said in full. */
function withoutFinalDot(hostname: string): string {
  return hostname.endsWith('.') ? hostname.slice(0, -1) : hostname
}
