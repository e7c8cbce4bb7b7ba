import { Child } from './child.ts'
import type { Load } from './protocol.ts'
import { baseOf, type ServerRow } from './row.ts'
import { Samples } from './samples.ts'
import { shuffled } from './shuffled.ts'

export interface ServersOptions {
  /** The path of the Node executable. */
  readonly node: string
  /** The number of load windows of each side. */
  readonly windows: number
  readonly windowMs: number
  readonly connections: number
  /** The number of requests before the measurement. */
  readonly warmUpRequests: number
}

/** Servers run on one core, the load on the other. */
const [serverCore, loadCore] = [0, 1] as const

/** Loads the servers of all sides in turn: one window each, in a random order each time. */
export async function measureServers(row: ServerRow, options: ServersOptions): Promise<Samples> {
  const samples = new Samples()
  await withServers(row, options.node, async (sides, loader) => {
    let rate: number | undefined
    for (let window = -1; window < options.windows; window++) {
      for (const [name, server, port] of shuffled(sides)) {
        const before = await server.ask({ ask: 'usage' }, 'usage')
        const { connections, windowMs: ms, warmUpRequests } = options
        const load = { port, headers: row.headers, connections, ms, requests: window === -1 ? warmUpRequests : 0 }
        const atRate = rate === undefined ? load : { ...load, rate }
        const { requests, ms: tookMs, p99Ms } = await loadOne(loader, name, atRate)
        const after = await server.ask({ ask: 'usage' }, 'usage')
        // The first window is the warm-up.
        if (window === -1) continue
        samples.add(name, 'requests/s', requests / (tookMs / 1000))
        samples.add(name, 'p99 ms', p99Ms)
        samples.add(name, 'CPU µs', (after.cpuMicros - before.cpuMicros) / requests)
      }
      if (row.openLoop) rate ??= await halfOfLimit(row, sides, loader, options)
    }
  })
  return samples
}

/** Half of the requests per second that the base of the row reaches. */
async function halfOfLimit(
  row: ServerRow,
  sides: readonly Server[],
  loader: Child,
  { connections, windowMs: ms }: ServersOptions,
): Promise<number> {
  const [name = '', , port = 0] = sides.find(([side]) => side === baseOf(row)) ?? []
  const load = { port, headers: row.headers, connections, ms, requests: 0 }
  const { requests, ms: tookMs } = await loadOne(loader, name, load)
  return (requests / tookMs) * 500
}

/** Sends a few requests to each server. Measures nothing. */
export function checkServers(row: ServerRow, node: string): Promise<void> {
  return withServers(row, node, async (sides, loader) => {
    for (const [name, , port] of sides) {
      await loadOne(loader, name, { port, headers: row.headers, connections: 2, ms: 5, requests: 1 })
    }
  })
}

async function loadOne(loader: Child, side: string, load: Load) {
  try {
    return await loader.ask({ ask: 'load', load }, 'loaded')
  } catch (error) {
    throw new Error(`${side}: the load failed.`, { cause: error })
  }
}

type Server = readonly [name: string, server: Child, port: number]

async function withServers(
  row: ServerRow,
  node: string,
  use: (sides: Server[], loader: Child) => Promise<void>,
): Promise<void> {
  const children: Child[] = []
  const start = (...words: ConstructorParameters<typeof Child>) => {
    const child = new Child(...words)
    children.push(child)
    return child
  }
  try {
    const backend = `http://127.0.0.1:${await start('backend', [], { node, core: loadCore }).port()}/`
    const loader = start('load', [], { node, core: loadCore })
    const sides = row.sides.map(
      ({ name }) => [name, start('server', [row.name, name, backend], { node, core: serverCore })] as const,
    )
    await loader.first
    await use(
      await Promise.all(sides.map(async ([name, server]) => [name, server, await server.port()] as const)),
      loader,
    )
  } finally {
    await Promise.all(children.map((child) => child.stop()))
  }
}
