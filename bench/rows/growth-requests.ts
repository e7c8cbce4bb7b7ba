import Fastify, { type FastifyInstance } from 'fastify'
import { MemoryConnection } from '../harness/memory-connection.ts'
import { type GrowthRow, type GrowthSide, ours, type Role, type Target } from '../harness/row.ts'
import { atSizes, pointOf } from './curves.ts'
import * as ways from './fastify-contexts.ts'

const smallest = 10
/** The route of the other requests. */
type Path = '/' | '/wait'

export const growthInFlight: GrowthRow = {
  kind: 'growth',
  name: 'growth-in-flight',
  title: 'Requests in flight: one more is answered',
  about: 'The handlers of this number of requests wait. Another request is answered, over a connection in memory.',
  axis: 'requests in flight',
  sides: curves([smallest, 100, 1000, 20_000], '/wait'),
  targets: [flat(20_000)],
}

export const growthConnections: GrowthRow = {
  kind: 'growth',
  name: 'growth-connections',
  title: 'Idle connections: a request on one more',
  about: 'This number of connections have had a reply and are idle. A request comes over another one, in memory.',
  axis: 'idle connections',
  sides: curves([smallest, 100, 1000, 10_000], '/'),
  targets: [flat(10_000)],
}

function flat(largest: number): Target {
  return {
    words: `flat: at ${largest.toLocaleString('en')} at most 1.5 times what it is at ${smallest}`,
    figure: 'ns',
    against: pointOf(ours, smallest),
    atMost: 1.5,
  }
}

function curves(sizes: readonly number[], path: Path): GrowthSide[] {
  return [
    ...curve('bare', 'floor', ways.none, sizes, path),
    ...curve(ours, 'ours', ways.logicalContextAlone, sizes, path),
  ]
}

function curve(name: string, role: Role, way: ways.ContextWay, sizes: readonly number[], path: Path): GrowthSide[] {
  return atSizes(sizes, name, role, async (size) => {
    const app = Fastify() as FastifyInstance
    const read = await way(app)
    let waiting = 0
    app.get('/', async () => (read() === undefined ? { hello: 'no context' } : { hello: 'world' }))
    app.get('/wait', async () => {
      waiting++
      await new Promise<void>(() => {})
    })
    await app.ready()
    const others = Array.from({ length: size }, () => new MemoryConnection(app.server, {}, path))
    const replies = others.map((connection) => connection.ask())
    if (path === '/') await Promise.all(replies)
    const connection = new MemoryConnection(app.server, {})
    return {
      op: () => connection.ask(),
      awaited: true,
      async check() {
        if (!(await connection.ask()).endsWith('{"hello":"world"}')) throw new Error('Expected a reply.')
        if (path === '/wait' && waiting !== size) throw new Error(`Expected ${size} requests, got ${waiting}.`)
      },
    }
  })
}
