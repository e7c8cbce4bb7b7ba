import type { AnyContextVar } from '../context/context-var.ts'
import { anyOf, anything, type Check, type Checks, checkOptions, show } from '../options.ts'
import {
  canonicalHost,
  containsEveryHost,
  defaultPort,
  hostKeys,
  type HostPattern,
  isEveryHost,
  isIP,
  parseHost,
} from '../propagators/hosts.ts'
import { compileRanges, isRange } from '../propagators/ranges.ts'

/**
 * A list of hosts. `api.example.com` matches that host on any port. `.example.com` and `*.example.com` match every name
 * below `example.com`, and not `example.com` itself. `localhost:3000` and `[::1]:3000` match one port.
 * `https://api.example.com` matches one scheme and its default port. `10.0.0.0/8`, `loopback`, `linklocal` and
 * `uniquelocal` match URLs with such an address as their host; names are not resolved.
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
  /** Undefined for a range. */
  readonly pattern: HostPattern | undefined
  /** Whether an address is in the range. Undefined for a host. */
  readonly contains: ((address: string) => boolean) | undefined
  /** Undefined means all variables. */
  readonly only: readonly AnyContextVar[] | undefined
}

export const anArray: Check = anyOf('an array', Array.isArray)
// `parseRule` checks the host.
const ruleChecks: Checks = { host: anything, only: anArray }

const listServices =
  "each of them would receive the values. List your services, for example '*.example.com' or '10.20.0.0/16'."

/**
 * Compiles a list of hosts to a matcher. A rule matches a whole host, or whole labels at its end.
 *
 * @param owner the function that error messages name.
 * @param remedy for a list that contains every host.
 * @throws {TypeError} if a host is invalid or a variable is sensitive.
 */
export function compileDestinations(owner: string, list: Destinations, remedy: string = listServices): HostMatcher {
  if (list.length === 0) return noHost
  const everywhere = list.map(hostOf).find(isEveryHost)
  if (everywhere !== undefined) throw everyHost(owner, everywhere, remedy)
  const rules = list.map((entry) => ruleOf(owner, entry))
  const byKey = Map.groupBy(rules, ({ pattern }) => pattern?.key)
  const ranges = byKey.get(undefined) ?? []
  const isInRange = (address: string) => ranges.some(({ contains }) => contains?.(address))
  if (containsEveryHost(isInRange)) throw everyHost(owner, list, remedy)

  function matches(target: Target): Rule[] {
    const address = ranges.length === 0 ? undefined : addressOf(target.hostname)
    const found = address === undefined ? [] : ranges.filter(({ contains }) => contains?.(address))
    const port = target.port === '' ? defaultPort(target.protocol) : target.port
    for (const key of hostKeys(target.hostname)) {
      for (const rule of byKey.get(key) ?? []) {
        if (rule.pattern?.protocol !== undefined && rule.pattern.protocol !== target.protocol) continue
        if (rule.pattern?.port === undefined || rule.pattern.port === port) found.push(rule)
      }
    }
    return found
  }

  return (target) => {
    const found = matches(target)
    if (found.some(({ only }) => only === undefined)) return true
    const variables = found.flatMap(({ only }) => only ?? [])
    return variables.length > 0 && variables
  }
}

export const noHost: HostMatcher = () => false

/** Makes a target of the parts of a destination; null for an invalid host. */
export function targetOf(protocol: string, host: string, port: string): Target | null {
  const hostname = canonicalHost(host)
  return hostname === undefined ? null : { protocol, hostname, port }
}

function hostOf(entry: string | Partial<DestinationRule> | null): unknown {
  return typeof entry === 'string' ? entry : entry?.host
}

function ruleOf(owner: string, entry: unknown): Rule {
  if (typeof entry === 'string') return { ...parseRule(owner, entry), only: undefined }
  const { host, only }: Partial<DestinationRule> = checkOptions(`${owner}: a destination`, entry ?? [], ruleChecks)
  if (only === undefined) throw new TypeError(`${owner}: expected a destination with 'only', got ${show(entry)}.`)
  for (const variable of only as readonly (Partial<AnyContextVar> | null)[]) {
    if (typeof variable?.sensitive === 'boolean' && !variable.sensitive) continue
    throw new TypeError(`${owner}: expected variables that are not sensitive in 'only', got ${show(variable)}.`)
  }
  return { ...parseRule(owner, host), only }
}

function parseRule(owner: string, entry: unknown): Pick<Rule, 'pattern' | 'contains'> {
  const contains = isRange(entry) ? rangeOf(entry) : undefined
  const pattern = contains === undefined ? parseHost(entry) : undefined
  if (pattern !== undefined || contains !== undefined) return { pattern, contains }
  throw new TypeError(
    `${owner}: expected a host such as 'api.example.com', '*.example.com', '10.0.0.0/8' or ` +
      `'https://api.example.com:8443', got ${show(entry)}.`,
  )
}

function everyHost(owner: string, hosts: unknown, remedy: string): TypeError {
  return new TypeError(`${owner}: expected a host of your own, got ${show(hosts)}, which is every host: ${remedy}`)
}

/** Undefined for an invalid range. */
function rangeOf(range: string): ((address: string) => boolean) | undefined {
  try {
    return compileRanges([range])
  } catch {
    return undefined
  }
}

function addressOf(hostname: string): string | undefined {
  const address = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
  return isIP(address) === 0 ? undefined : address
}
