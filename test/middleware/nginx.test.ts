import { readFile } from 'node:fs/promises'
import Fastify from 'fastify'
import { ContextVar } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { w3cBaggage, w3cTraceContext, xRequestId } from 'logical-context/propagators'
import { requestId, traceContext } from 'logical-context/variables'
import { describe, expect, it, onTestFinished } from 'vitest'
import { nginxProgram, startNginx } from '../servers/nginx.ts'
import { needs } from '../servers/server.ts'

const { name, skip } = needs(nginxProgram, 'nginx-light')
const user = new ContextVar<string>('user')

/** The configuration in the recipe, with another port. */
async function configOf(port: number): Promise<string> {
  const recipes = await readFile(new URL('../../docs/guides/recipes.md', import.meta.url), 'utf8')
  const [, config] = /```\n(location \/ \{\n[^]*?)```/.exec(recipes) ?? []
  if (config === undefined) throw new Error('The recipe has no configuration of nginx.')
  return config.replace('127.0.0.1:3000', `127.0.0.1:${port}`)
}

describe.skipIf(skip)(`a gateway behind nginx${name}`, () => {
  it('takes the id of nginx, and neither a trace nor a value of its clients', async () => {
    const app = Fastify()
    await app.register(logicalContext, {
      propagators: [w3cTraceContext(), xRequestId(), w3cBaggage({ members: { user } })],
      trust: () => ({ trace: 'continue', values: false }),
    })
    app.get('/', async ({ headers }) => ({
      id: requestId.get(),
      idOfNginx: headers['x-request-id'],
      trace: traceContext.get()?.traceId,
      user: user.get(),
      received: Object.keys(headers).filter((field) => /^(?:trace|baggage)/.test(field)),
    }))
    onTestFinished(() => app.close())
    await app.listen({ port: 0, host: '127.0.0.1' })
    const nginx = await startNginx(await configOf((app.server.address() as { port: number }).port))
    onTestFinished(() => nginx.stop())
    const traceId = '0af7651916cd43dd8448eb211c80319c'
    const headers = {
      'x-request-id': 'id-of-client',
      traceparent: `00-${traceId}-b7ad6b7169203331-01`,
      tracestate: 'a=b',
      baggage: 'user=admin',
    }

    const reply = await fetch(nginx.url, { headers })

    const seen = (await reply.json()) as Record<string, unknown>
    expect(seen['id']).toMatch(/^[\da-f]{32}$/)
    expect(seen).toMatchObject({ id: seen['idOfNginx'], received: [] })
    expect(seen).not.toHaveProperty('user')
    expect(seen['trace']).not.toBe(traceId)
    expect(reply.headers.get('x-request-id')).toBe(seen['id'])
  })
})
