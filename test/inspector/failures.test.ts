import { createServer, type Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import express5 from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { ContextVar, runInScope } from 'logical-context'
import express from 'logical-context/middleware/express'
import fastify from 'logical-context/middleware/fastify'
import hono from 'logical-context/middleware/hono'
import koa from 'logical-context/middleware/koa'
import nodeHttp from 'logical-context/middleware/node-http'
import { describe, expect, it, onTestFinished } from 'vitest'
import { closeOf, listen, silent, urlOf } from '../contracts/node-server.ts'
import { EventReader } from './event-reader.ts'
import { handlerWith } from './served.ts'

const password = new ContextVar<string>('password', { sensitive: true })
// It has no types: those of Express 5 are used. A literal would be looked up.
const express4Name: string = 'express4'
const { default: express4 } = (await import(express4Name)) as { default: typeof express5 }

/** Fails; the frameworks answer with the status of the error. */
function fail(url = ''): Promise<never> {
  password.set('canary-password')
  const status = url === '/missing' ? 404 : 500
  return Promise.reject(Object.assign(new Error(`no stock for ${password.get()}`), { status }))
}

const onExpress = (framework: typeof express5) => async () => {
  const app = framework().set('env', 'test')
  app.use(express())
  app.use((request) => fail(request.path))
  return listen(createServer(app))
}

async function onFastify(): Promise<Server> {
  const app = Fastify()
  await app.register(fastify)
  app.get('/:path', ({ url }) => fail(url))
  await app.listen({ host: '127.0.0.1', port: 0 })
  return app.server
}

async function onHono(): Promise<Server> {
  const app = new Hono()
  app.use(hono())
  app.get('/:path', (c) => fail(c.req.path))
  app.onError((error, c) => c.text('failed', (error as Error & { status: 404 | 500 }).status))
  return listen(createAdaptorServer({ fetch: app.fetch }) as Server)
}

async function onKoa(): Promise<Server> {
  const app = new Koa()
  app.silent = true
  app.use(koa())
  app.use(({ path }) => fail(path))
  const callback = app.callback()
  return listen(createServer((request, response) => void callback(request, response)))
}

describe('the row of a request that failed', () => {
  it.each([
    ['node:http', () => listen(createServer(nodeHttp(({ url }) => fail(url), { logger: silent }))), false],
    ['Fastify', onFastify, true],
    ['Express 5', onExpress(express5), true],
    ['Express 4', onExpress(express4), true],
    ['Koa', onKoa, true],
    ['Hono', onHono, true],
  ])('has the reason, without sensitive values: %s', async (_, serve, hasStatuses) => {
    const { page } = await handlerWith()
    const events = await EventReader.open(page)
    const server = await serve()
    onTestFinished(() => closeOf(server))

    await fetch(`${urlOf(server)}/missing`)
    await fetch(`${urlOf(server)}/fails`)

    await events.until(() => [...events.rows.values()].filter(({ state }) => state === 'ended').length === 2)
    const failed = { status: 500, outcome: 'failed', reason: 'Error: no stock for [sensitive]' }
    // An error that a client caused is an answer.
    const missing = hasStatuses ? { status: 404, outcome: 'done', reason: undefined } : failed
    expect([...events.rows.values()].map(({ status, outcome, reason }) => ({ status, outcome, reason }))).toEqual([
      missing,
      failed,
    ])
    expect(events.text).not.toContain('canary')
  })

  it('is failed for a unit of the program too', async () => {
    const { page } = await handlerWith()
    const events = await EventReader.open(page)

    await runInScope(() => fail(), { name: 'import' }).catch(() => {})
    expect(() =>
      runInScope(
        () => {
          throw new Error('no file')
        },
        { name: 'export' },
      ),
    ).toThrow('no file')

    expect(await events.row('import')).toMatchObject({ outcome: 'failed', reason: 'Error: no stock for [sensitive]' })
    expect(await events.row('export')).toMatchObject({ outcome: 'failed', reason: 'Error: no file' })
  })
})
