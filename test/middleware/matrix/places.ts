/** Where the value of a request is looked at, in the order in which a reader would look for it. */
export const places = {
  "Fastify's functions": [
    'log line "incoming request"',
    'body parser',
    'body parser, after the body',
    'schema validator',
    'handler',
    'handler, later',
    'serializer',
    'error handler',
    'not-found handler',
    'log line "request completed"',
    'other log lines',
  ],
  "Fastify's hooks": [
    'onRequest',
    'preParsing',
    'preValidation',
    'preHandler',
    'preSerialization',
    'onError',
    'onSend',
    'onResponse',
    'onTimeout',
    'onRequestAbort',
  ],
  'events of `request.raw`': ['request data', 'request end', 'request aborted', 'request error', 'request close'],
  'events of `reply.raw`': ['response finish', 'response close'],
  'a stream that is the reply': ['stream read', 'stream end', 'stream error', 'stream close'],
  'the connection': [
    'socket close',
    'socket close, bound',
    'WebSocket message',
    'WebSocket message, bound',
    'WebSocket close',
    'WebSocket close, bound',
  ],
  'of logical-context': ['abort of scope.signal', 'channel scope:open', 'channel scope:close', 'channel scope:seal'],
} as const

export type Place = (typeof places)[keyof typeof places][number]

export const allPlaces: readonly Place[] = Object.values(places).flat()

/** The rule or the reason for each place in which values are also lost with logical-context. */
export const whyLost: Partial<Record<Place, string>> = {
  'socket close':
    'A connection outlives its requests, and its listeners belong to none of them. Use `bind`, or the `close` of `request.raw`.',
  'socket close, bound':
    'Lost where the request had ended before the connection did: its values are dropped at its end, so that an idle connection holds nothing of it.',
  'WebSocket message': "A WebSocket's events come from its connection. Use `request.requestScope.listener(fn)`.",
  'WebSocket close': 'The same.',
}
