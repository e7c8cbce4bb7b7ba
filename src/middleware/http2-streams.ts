import type { EventEmitter } from 'node:events'
import type { ServerHttp2Stream } from 'node:http2'
import { keepShape } from '../callbacks.ts'
import { isFunction } from '../options.ts'
import type { Exchange, Wait } from './exchange.ts'

type Called = (...args: unknown[]) => void

/**
 * Runs the listeners of a stream of HTTP/2 in the unit of its request, and those of the streams that it pushes. Node
 * emits their events in the context of its session, which other requests share.
 */
export function enterStream(exchange: Exchange, stream: ServerHttp2Stream): void {
  emitInUnit(exchange, stream, undefined)
  const pushStream = stream.pushStream as Called
  stream.pushStream = keepShape(pushStream, (...args: unknown[]): void => {
    pushStream.apply(
      stream,
      args.map((arg) => (isFunction(arg) ? enterPushed(exchange, arg as Called) : arg)),
    )
  })
}

/** A pushed stream can be open for longer than the response. */
function enterPushed(exchange: Exchange, callback: Called): Called {
  return (error, pushed, ...rest) => {
    if (pushed !== undefined) {
      exchange.begin(ofPushedStream)
      emitInUnit(exchange, pushed as ServerHttp2Stream, ofPushedStream)
    }
    exchange.enter(callback, undefined, error, pushed, ...rest)
  }
}

const ofPushedStream: Wait = { what: 'a pushed stream', untilReply: false }

/** `wait` ends after the stream has closed. */
function emitInUnit(exchange: Exchange, stream: ServerHttp2Stream, wait: Wait | undefined): void {
  const { scope } = exchange
  const emit = stream.emit as EventEmitter['emit']
  stream.emit = keepShape(emit, (event: string | symbol, ...args: unknown[]): boolean => {
    // A listener of Node's closes the scope, and those after it read the values.
    scope.retain()
    try {
      return exchange.enter(emit, stream, event, ...args)
    } finally {
      scope.release()
      if (event === 'close' && wait !== undefined) exchange.end(wait)
    }
  })
}
