import { keepShape } from '../callbacks.ts'
import { isFunction } from '../options.ts'
import type { WebSocketLike } from './websocket.ts'

type Called = (...args: unknown[]) => unknown

interface EventTargetLike extends WebSocketLike {
  addEventListener?: Called
}

/**
 * The results of the listeners of a socket. `addEventListener` and `onmessage` of `ws` add a listener of their own, which
 * does not return what the listener of the program returns.
 */
export class ListenerResults {
  #result: unknown

  constructor(socket: EventTargetLike) {
    const { addEventListener } = socket
    if (addEventListener === undefined) return
    socket.addEventListener = keepShape(addEventListener, (type, handler, ...rest) => {
      const listeners = () => socket.listeners(String(type))
      const isKnown = listeners().some((listener) => keyOf(listener, handler) !== undefined)
      const observed = isHandler(handler) && !isKnown ? this.#observed(handler) : handler
      addEventListener.call(socket, type, observed, ...rest)
      if (observed === handler) return
      const added = listeners().at(-1)
      const key = keyOf(added, observed)
      // `removeEventListener` and `onmessage` compare it.
      if (key !== undefined) Reflect.set(added as object, key, handler)
    })
  }

  /** Calls a listener. Returns its result, or that of the listener of the program that it has called. */
  of(call: () => unknown): unknown {
    const outer = this.#result
    this.#result = undefined
    try {
      return call() ?? this.#result
    } finally {
      this.#result = outer
    }
  }

  #observed(handler: Handler): Called {
    const setResult = (result: unknown) => {
      this.#result = result
    }
    return function (this: unknown, event) {
      setResult(typeof handler === 'function' ? handler.call(this, event) : handler.handleEvent(event))
    }
  }
}

type Handler = Called | { handleEvent: Called }

function isHandler(value: unknown): value is Handler {
  return isFunction(value) || isFunction((value as Partial<{ handleEvent: unknown }> | null | undefined)?.handleEvent)
}

/** The key under which a listener of `ws` has the handler that it calls. */
function keyOf(listener: unknown, handler: unknown): symbol | undefined {
  return Object.getOwnPropertySymbols(listener ?? {}).find((key) => Reflect.get(listener as object, key) === handler)
}
