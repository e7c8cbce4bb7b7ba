import { keepShape } from '../callbacks.ts'
import { anyOf, checkArgument } from '../options.ts'
import { type AsyncSnapshot, captureSnapshot, processSingleton } from './storage.ts'

/** An `EventEmitter` or an `EventTarget`. */
export type Emitter = { emit(event: never, ...args: never[]): unknown } | { dispatchEvent(event: never): unknown }

/** Node's own EventTargets, such as a MessagePort, dispatch some events by this method and not by `dispatchEvent`. */
const hybridDispatch = Symbol.for('nodejs.internal.kHybridDispatch')
const methods = ['emit', 'dispatchEvent', hybridDispatch]

const anEmitter = anyOf('an EventEmitter or an EventTarget that can be changed', (value) => {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  const { emit, dispatchEvent } = value as { emit?: unknown; dispatchEvent?: unknown }
  return (typeof emit === 'function' || typeof dispatchEvent === 'function') && Object.isExtensible(value)
})

interface Binding {
  /** The contexts in which the listeners run; undefined after the dispose. */
  snapshot: AsyncSnapshot | undefined
  readonly restore: (() => void)[]
}

/** One binding for each emitter and all copies of the package, so that a second call does not replace methods again. */
const bindings = processSingleton('boundEmitters', () => new WeakMap<object, Binding>())

/**
 * Makes all listeners of an emitter part of the unit that calls `bindEmitter`, as `bind` does for one function:
 * listeners that were added before, and those that a library adds later. Use it for a connection, such as a WebSocket of
 * `ws` that is passed to graphql-ws, or the port of a worker.
 *
 * It replaces `emit` and `dispatchEvent` of this one object. The listeners stay as they are, so `off`, `once`,
 * `listeners()` and `listenerCount()` work as before. An `EventEmitterAsyncResource` still runs them in its own context.
 *
 * A second call for the same emitter replaces the unit; then a dispose of the first result does nothing.
 *
 * @returns An object that restores the emitter when it is disposed. A second dispose does nothing.
 * @throws {TypeError} if `emitter` is neither an `EventEmitter` nor an `EventTarget`, or not extensible.
 */
export function bindEmitter(emitter: Emitter): Disposable {
  checkArgument('bindEmitter', anEmitter, emitter)
  const snapshot = captureSnapshot()
  const binding = bindings.get(emitter) ?? attach(emitter)
  binding.snapshot = snapshot
  return {
    [Symbol.dispose]: () => {
      if (binding.snapshot !== snapshot) return
      binding.snapshot = undefined
      bindings.delete(emitter)
      for (const restore of binding.restore) restore()
    },
  }
}

function attach(emitter: object): Binding {
  const binding: Binding = { snapshot: undefined, restore: [] }
  for (const name of methods) {
    const original: unknown = Reflect.get(emitter, name)
    if (typeof original === 'function') binding.restore.push(replace(emitter, name, original, binding))
  }
  bindings.set(emitter, binding)
  return binding
}

/** Returns a function that restores the method. */
function replace(emitter: object, name: string | symbol, original: Function, binding: Binding): () => void {
  const before = Object.getOwnPropertyDescriptor(emitter, name)
  const bound = keepShape(original, function (this: unknown, ...args: unknown[]): unknown {
    const { snapshot } = binding
    if (snapshot === undefined) return Reflect.apply(original, this, args)
    return snapshot.runInAsyncScope(original as (...args: unknown[]) => unknown, this, ...args)
  })
  Object.defineProperty(emitter, name, { value: bound, configurable: true, writable: true })
  return () => {
    // Other code may have replaced the method since. Then `bound` stays, and only calls the original.
    if (Reflect.get(emitter, name) !== bound) return
    if (before === undefined) Reflect.deleteProperty(emitter, name)
    else Object.defineProperty(emitter, name, before)
  }
}
