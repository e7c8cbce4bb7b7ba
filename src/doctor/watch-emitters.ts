import { EventEmitter } from 'node:events'
import { keepShape } from '../callbacks.ts'
import { callingUnit } from '../tasks/unit.ts'
import { type CallSite, captureStack, readCallSite } from './call-site.ts'
import { type KnownLibrary, knownLibraries } from './libraries.ts'

/** A callback that runs in another request than the one that registered it. */
export interface Swap {
  readonly what: string
  /** The place where the callback was registered, and the libraries that called it. */
  readonly site: CallSite
  readonly library: KnownLibrary | undefined
  /** Whether the object was created in the request in which the callback runs. */
  readonly createdHere: boolean
}

interface Registration {
  readonly origin: number
  readonly stack: { stack?: string }
}

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown

const adders = ['on', 'addListener', 'prependListener', 'once', 'prependOnceListener'] as const

/**
 * Observes listeners of all `EventEmitter`s, and callbacks of the known libraries, whose classes are emitters. Returns a
 * function that ends it.
 *
 * @param isBound Whether a function runs in a unit of its own, regardless of its caller.
 */
export function watchEmitters(onSwap: (swap: Swap) => void, isBound: (fn: object) => boolean): () => void {
  const registrations = new WeakMap<object, Map<unknown, Map<unknown, Registration>>>()
  const creators = new WeakMap<object, number>()
  const known = new WeakSet<object>()
  const restore: (() => void)[] = []
  let addingTo: object | undefined

  const register = (emitter: object, event: unknown, listener: unknown) => {
    const origin = originHere()
    if (origin === 0 || typeof listener !== 'function' || isBound(listener)) return
    const events = registrations.get(emitter) ?? new Map<unknown, Map<unknown, Registration>>()
    registrations.set(emitter, events)
    const listeners = events.get(event) ?? new Map<unknown, Registration>()
    events.set(event, listeners)
    if (listeners.size >= maxRemembered) forgetRemoved(emitter as EventEmitter, event as string, listeners)
    listeners.set(listener, { origin, stack: captureStack() })
  }

  /** Registers the listener once: `once` calls `on` with a listener of its own. */
  const addTo = (emitter: object, add: AnyFunction, event: unknown, listener: unknown) => {
    const outer = addingTo
    if (outer !== emitter) register(emitter, event, listener)
    addingTo = emitter
    try {
      return add.call(emitter, event, listener)
    } finally {
      addingTo = outer
    }
  }

  const report = (what: string, { origin, stack }: Registration, owner: object, library?: KnownLibrary) => {
    const current = originHere()
    if (current === 0 || current === origin) return
    const site = readCallSite(stack)
    // A callback that a library or Node passes for itself, such as that of `events.once`, reads no variables.
    if (!site.isDirect) return
    const { library: caller, libraries, isProgram } = readCallSite(captureStack())
    // If the program emits, the libraries above it only called the program.
    const ran = isProgram ? { ...site, library: undefined, libraries: [] } : { ...site, library: caller, libraries }
    onSwap({ what, site: ran, library, createdHere: creators.get(owner) === current })
  }

  const observeEmit = (emitter: EventEmitter, event: string | symbol) => {
    const listeners = registrations.get(emitter)?.get(event)
    if (listeners === undefined) return
    forgetRemoved(emitter, event, listeners)
    for (const registration of listeners.values()) report(`listener of '${String(event)}'`, registration, emitter)
  }

  /** Replaces the methods of a known library's class that take a callback, once. */
  const observeClass = (emitter: object) => {
    if (known.has(Object.getPrototypeOf(emitter) as object)) return
    known.add(Object.getPrototypeOf(emitter) as object)
    for (const { name } of classesOf(emitter)) {
      const library = knownLibraries.find(({ callbacks = {} }) => Object.hasOwn(callbacks, name))
      for (const method of library?.callbacks?.[name] ?? []) {
        const holder = holderOf(emitter, method)
        if (holder === undefined || known.has(holder[method] as object)) continue
        const observed = observedMethod(holder[method] as AnyFunction, `callback of ${method.toLowerCase()}()`, library)
        known.add(observed)
        restore.push(replace(holder, method, observed))
      }
    }
  }

  const observedMethod = (method: AnyFunction, what: string, library: KnownLibrary | undefined): AnyFunction =>
    function (...args) {
      const origin = originHere()
      const at = args.findLastIndex((arg) => typeof arg === 'function' || hasCallback(arg))
      const passed = args[at] as AnyFunction | WithCallback | undefined
      const callback = typeof passed === 'function' ? passed : passed?.callback
      if (origin === 0 || callback === undefined || isBound(callback)) return Reflect.apply(method, this, args)
      const registration = { origin, stack: captureStack() }
      const owner = Object(this) as object
      const observed = keepShape<AnyFunction>(callback, function (...results) {
        report(what, registration, owner, library)
        return Reflect.apply(callback, this, results)
      })
      args[at] = typeof passed === 'function' ? observed : { ...passed, callback: observed }
      return Reflect.apply(method, this, args)
    }

  const { prototype } = EventEmitter
  for (const name of adders) {
    const add = prototype[name] as AnyFunction
    const observed: AnyFunction = function (event, listener) {
      observeClass(this as object)
      return addTo(this as object, add, event, listener)
    }
    restore.push(replace(prototype, name, keepShape(add, observed)))
  }
  const emit = prototype.emit as AnyFunction
  const init = Reflect.get(EventEmitter, 'init') as AnyFunction
  const observedEmit: AnyFunction = function (...args) {
    observeEmit(this as EventEmitter, args[0] as string)
    return Reflect.apply(emit, this, args)
  }
  const observedInit: AnyFunction = function (...args) {
    const origin = originHere()
    if (origin !== 0) creators.set(this as object, origin)
    observeClass(this as object)
    return Reflect.apply(init, this, args)
  }
  restore.push(replace(prototype, 'emit', keepShape(emit, observedEmit)))
  restore.push(replace(EventEmitter, 'init', keepShape(init, observedInit)))
  return () => {
    for (const undo of restore.splice(0).toReversed()) undo()
  }
}

/** How many listeners of an event are remembered before the removed ones are forgotten. */
const maxRemembered = 100

function forgetRemoved(emitter: EventEmitter, event: string | symbol, listeners: Map<unknown, Registration>): void {
  const present = new Set<unknown>(emitter.rawListeners(event).map((raw) => ('listener' in raw ? raw.listener : raw)))
  for (const listener of listeners.keys()) if (!present.has(listener)) listeners.delete(listener)
}

interface WithCallback {
  readonly callback: AnyFunction
}

/** A config with the callback in it. An object that the library itself sends, such as a `Query` of pg, is not copied. */
function hasCallback(value: unknown): value is WithCallback {
  const { callback, submit } = Object(value) as { callback?: unknown; submit?: unknown }
  return typeof callback === 'function' && submit === undefined
}

/** The number of the request that the current code belongs to, 0 without one. */
function originHere(): number {
  return callingUnit()?.origin ?? 0
}

/** The classes of an object, from its own to the base. */
function classesOf(object: object): Function[] {
  const prototype = Object.getPrototypeOf(object) as object | null
  if (prototype === null || prototype === EventEmitter.prototype) return []
  return [prototype.constructor, ...classesOf(prototype)]
}

/** The object in the chain of prototypes that has the method itself. */
function holderOf(object: object, method: string): Record<string, unknown> | undefined {
  for (let holder: object | null = object; holder !== null; holder = Object.getPrototypeOf(holder) as object | null) {
    if (Object.hasOwn(holder, method)) return holder as Record<string, unknown>
  }
  return undefined
}

function replace(holder: object, name: string, method: AnyFunction): () => void {
  const before = Object.getOwnPropertyDescriptor(holder, name) as PropertyDescriptor
  Object.defineProperty(holder, name, { ...before, value: method })
  return () => {
    // Other code may have replaced the method since. Then ours stays, and only calls the original.
    if (Reflect.get(holder, name) === method) Object.defineProperty(holder, name, before)
  }
}
