import Fastify, { type FastifyInstance } from 'fastify'
import { spawn, TaskGroup, withTimeout } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { canaries, declared, type Exit, setAll } from './canaries.ts'

type Fail = (app: FastifyInstance) => unknown

const failures: Record<string, Fail> = {
  'a failure of its own': () => Promise.reject(new Error('failed')),
  'a limit': () => withTimeout(() => new Promise(() => {}), 1),
  'a full group': (app) => Array.from({ length: 3 }, () => app.requestScopes.group.spawn(() => new Promise(() => {}))),
  'a closed group': () => closed(new TaskGroup()).spawn(() => {}),
  'a bad option': () => spawn(() => {}, { policy: 'none' as never }),
  'a 404': () => ({ status: 404 }),
}

function closed(group: TaskGroup): TaskGroup {
  group.close()
  return group
}

/** The whole reply of a request that has all canaries. */
async function replyTo(path: string, fail: Fail): Promise<unknown> {
  const app = Fastify()
  await app.register(logicalContext, { drainTimeoutMs: 1, limits: { maxPerRequest: 2 } })
  app.addHook('onRequest', async () => setAll())
  app.get('/fails', async () => fail(app))
  app.get('/tells', async () => declared.get())
  app.get<{ Params: { id: number } }>(
    '/checked/:id',
    { schema: { params: { type: 'object', properties: { id: { type: 'number' } } } } },
    async () => 'ok',
  )
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const reply = await fetch(address + path, { headers: { baggage: `sensitive=${encodeURIComponent(canaries.plain)}` } })
  const seen = [reply.status, reply.statusText, [...reply.headers], await reply.text()]
  await app.close()
  return seen
}

export const replyExits: Exit[] = [
  ...Object.entries(failures).map(([name, fail]) => ({
    name: `the reply to a client after ${name}`,
    may: [],
    run: () => replyTo('/fails', fail),
  })),
  { name: 'the reply to a client with a bad parameter', may: [], run: () => replyTo('/checked/none', () => {}) },
  { name: 'the reply to a client whose URL is nowhere', may: [], run: () => replyTo('/nowhere', () => {}) },
  { name: 'the reply of a handler that tells', may: ['declared'], run: () => replyTo('/tells', () => {}) },
]
