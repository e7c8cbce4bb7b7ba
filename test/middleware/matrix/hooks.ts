import type { Readable } from 'node:stream'
import type { FastifyError, FastifyInstance, FastifyRequest } from 'fastify'
import type { ForeignCaller } from './foreign-calls.ts'
import type { Place } from './places.ts'
import type { Recipe } from './recipes.ts'
import { callerOf, type See } from './shop.ts'

/** Looks at the value in every hook, in Fastify's other functions, and in every event of the raw messages. */
export function watchHooks(app: FastifyInstance, recipe: Recipe, see: See, foreign: ForeignCaller): void {
  const look = (request: FastifyRequest, place: Place) => see(callerOf(request), place, recipe.user())

  app.addHook('onRequest', async (request, reply) => {
    recipe.setUser(callerOf(request))
    watchEvents(request, reply.raw, recipe, look)
    look(request, 'onRequest')
    // An authentication waits, too.
    await new Promise((resolve) => setTimeout(resolve, 1))
  })
  app.addHook('preParsing', (request, _reply, payload, done) => {
    look(request, 'preParsing')
    // A listener to the data starts it, so not before the parser has its own in the same turn; and without a body it
    // would end the request early, and Fastify would not see it aborted.
    if (request.method === 'POST') {
      for (const event of ['data', 'end'] as const) request.raw.on(event, () => look(request, `request ${event}`))
    }
    done(null, payload)
  })
  app.addHook('preValidation', async (request) => look(request, 'preValidation'))
  app.addHook('preHandler', async (request) => look(request, 'preHandler'))
  app.addHook('preSerialization', async (request, _reply, payload) => {
    look(request, 'preSerialization')
    return payload
  })
  app.addHook('onError', async (request) => look(request, 'onError'))
  app.addHook('onSend', async (request) => look(request, 'onSend'))
  app.addHook('onResponse', async (request) => look(request, 'onResponse'))
  app.addHook('onTimeout', async (request) => look(request, 'onTimeout'))
  app.addHook('onRequestAbort', async (request) => look(request, 'onRequestAbort'))

  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    look(request, 'error handler')
    return reply.code(error.statusCode ?? 500).send({ error: error.message })
  })
  app.setNotFoundHandler(async (request, reply) => {
    look(request, 'not-found handler')
    return reply.code(404).send({})
  })
  app.addContentTypeParser('text/plain', (request: FastifyRequest, payload: Readable, done) => {
    look(request, 'body parser')
    let text = ''
    // By listeners, as Fastify's own parsers read it: who awaits is in no danger.
    payload.on('data', (part) => {
      text += String(part)
    })
    payload.on('end', () => {
      look(request, 'body parser, after the body')
      foreign.callBack(request, 'body parser', () => done(null, text))
    })
  })
  // These two are given no request: what they are given says whose it is.
  app.setValidatorCompiler(() => (headers: Record<string, unknown>) => {
    see(callerOf({ headers }), 'schema validator', recipe.user())
    return headers['x-fail'] === undefined || { error: new Error('no') }
  })
  app.setSerializerCompiler(() => (payload: unknown) => {
    const { caller } = payload as { caller?: 'ann' | 'bob' }
    if (caller !== undefined) see(caller, 'serializer', recipe.user())
    return JSON.stringify(payload)
  })
}

type Look = (request: FastifyRequest, place: Place) => void

function watchEvents(request: FastifyRequest, response: NodeJS.EventEmitter, recipe: Recipe, look: Look): void {
  const { raw } = request
  for (const event of ['aborted', 'error', 'close'] as const) raw.on(event, () => look(request, `request ${event}`))
  // Once: `inject` emits `finish` twice, the second time when all is over.
  for (const event of ['finish', 'close'] as const) response.once(event, () => look(request, `response ${event}`))
  raw.socket?.on('close', () => look(request, 'socket close'))
  raw.socket?.on(
    'close',
    recipe.bind(() => look(request, 'socket close, bound')),
  )
  recipe.onRequest?.(request, (place) => look(request, place))
}
