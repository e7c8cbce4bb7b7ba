import type { IncomingMessage } from 'node:http'

type Params = Readonly<Record<string, string | readonly string[] | undefined>>

/** A request in an app of Express. */
export interface MountedRequest extends IncomingMessage {
  /** The part of the path that the routers around have matched, such as `/shops/7`. */
  readonly baseUrl?: string
  readonly params?: Params
}

interface Mount {
  readonly baseUrl: string
  readonly params: Params
  readonly pattern: string
}

const mounts = new WeakMap<IncomingMessage, Mount>()

/** Notes the pattern of the path of a router, which Express does not keep. Called in its layer. */
export function enterMount(request: MountedRequest): void {
  const { baseUrl = '', params = {} } = request
  const outer = mountAround(request)
  // With `mergeParams`, a router has those of the router around it too.
  const own = Object.entries(params).filter(([name, value]) => outer?.params[name] !== value)
  if (own.length === 0) return
  const path = baseUrl.slice(outer?.baseUrl.length ?? 0)
  mounts.set(request, { baseUrl, params, pattern: (outer?.pattern ?? '') + patternOf(path, own) })
}

/** The part of the path that the routers around have matched, with names of parameters: `/shops/:shop`. */
export function basePattern(request: MountedRequest): string {
  const { baseUrl = '' } = request
  const mount = mountAround(request)
  return mount === undefined ? baseUrl : mount.pattern + baseUrl.slice(mount.baseUrl.length)
}

/** The innermost router with parameters; undefined after the request has left it. */
function mountAround(request: MountedRequest): Mount | undefined {
  const mount = mounts.get(request)
  return mount !== undefined && `${request.baseUrl}/`.startsWith(`${mount.baseUrl}/`) ? mount : undefined
}

/** The values are replaced from left to right: a fixed segment that equals a value can be taken for it. */
function patternOf(path: string, params: [name: string, value: Params[string]][]): string {
  let rest = path.split('/').map(decoded).join('/')
  let pattern = ''
  for (const [name, value] of params) {
    const text = typeof value === 'object' ? value.join('/') : (value ?? '')
    const segment = `${rest}/`.indexOf(`/${text}/`)
    const at = segment === -1 ? rest.indexOf(text) : segment + 1
    if (text === '' || at === -1) continue
    pattern += `${rest.slice(0, at)}:${name}`
    rest = rest.slice(at + text.length)
  }
  return pattern + rest
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
