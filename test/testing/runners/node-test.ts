import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import Fastify from 'fastify'
import { ContextVar, LogicalContext } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { xRequestId } from 'logical-context/propagators'
import {
  describeMiddleware,
  describePropagator,
  failOnOpenWork,
  runWith,
  sendRequest,
  type TestRunner,
} from 'logical-context/testing'
import { requestId } from 'logical-context/variables'

const expect: TestRunner['expect'] = (actual) => ({ toEqual: (expected) => assert.deepEqual(actual, expected) })
const runner: TestRunner = {
  describe: (name, body) => void describe(name, body),
  it: (name, body) => void it(name, body),
  expect,
}

const user = new ContextVar<string>('user')
const values = LogicalContext.empty.with(user, 'ann')

void describe('the kit', () => {
  failOnOpenWork({ beforeEach, afterEach })

  void it('runs a function with given values', async () => {
    assert.equal(await runWith(values, () => user.get()), 'ann')
  })

  void it('sends a request with given values', async () => {
    const app = Fastify()
    await app.register(logicalContext)
    app.get('/', async () => ({ user: user.get() }))

    const response = await sendRequest(app, { values })
    await app.close()

    assert.deepEqual(await response.json(), { user: 'ann' })
  })

  void it('accepts a server that has just closed', async () => {
    const app = Fastify()
    await app.listen({ port: 0, host: '127.0.0.1' })

    await sendRequest(app)

    await app.close()
  })
})

describePropagator(runner, 'xRequestId', xRequestId, {
  variables: [requestId],
  contexts: [LogicalContext.empty.with(requestId, 'r-1')],
  texts: ['r-1', 'r-1, r-2'],
})

describeMiddleware(runner, 'the Fastify plugin', async (handler) => {
  const app = Fastify()
  await app.register(logicalContext)
  app.get('/*', async (request) => handler(request.url, request.requestScope))
  return { url: await app.listen({ port: 0, host: '127.0.0.1' }), close: () => app.close() }
})
