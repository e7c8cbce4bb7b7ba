import { EventEmitter } from 'node:events'
import type { Context, ContextManager } from '@opentelemetry/api'
import type { Cell } from '../context/cell.ts'
import { storage } from '../context/storage.ts'
import { attach } from '../tasks/narrowed-cell.ts'
import { Attachment, contextIn, Outside, type Stored } from './otel-attachment.ts'

type Callback<A extends unknown[], R> = (...args: A) => R
type Listener = ((...args: unknown[]) => unknown) & { listener?: unknown }

/**
 * OpenTelemetry's contexts in the one AsyncLocalStorage that the units are in. A context is carried by a view of the
 * unit's cell: values, writes and the end of the unit are the cell's own, so it changes nothing about what `set` reaches.
 */
export class CellContextManager implements ContextManager {
  readonly #root: Context

  constructor(root: Context) {
    this.#root = root
  }

  active(): Context {
    return contextIn(stored()) ?? this.#root
  }

  with<A extends unknown[], F extends Callback<A, ReturnType<F>>>(
    context: Context,
    fn: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    this.enable()
    return runIn(viewWith(context), () => fn.apply(thisArg, args))
  }

  /**
   * Of the API since 1.10, which has no type for the token before. What is entered is a view of the same cell, so that
   * the unit stays; a token that is disposed of elsewhere changes nothing there.
   */
  attach(context: Context): { dispose(): void } {
    this.enable()
    const attachment = new Attachment(context, stored())
    const view = viewWith(attachment)
    native.enterWith.call(storage, view)
    return {
      dispose() {
        if (attachment.disposed) return
        attachment.disposed = true
        if (stored() === view) native.enterWith.call(storage, attachment.before as Cell)
      },
    }
  }

  bind<T>(context: Context, target: T): T {
    if (target instanceof EventEmitter) this.#bindEmitter(context, target)
    return typeof target === 'function' ? (this.#bindFunction(context, target as never) as T) : target
  }

  /** Also where it has been forgotten, or was undone: the official one needs none, and the storage must be read by us. */
  enable(): this {
    if (Object.hasOwn(storage, 'getStore')) return this
    storage.getStore = () => {
      const store = stored()
      return store instanceof Outside && !entering ? undefined : (store as Cell | undefined)
    }
    storage.run = <R, A extends unknown[]>(cell: Cell, fn: Callback<A, R>, ...args: A): R => {
      const around = contextIn(stored())
      // Every way into another cell passes here, and the context goes along.
      const view = around === undefined || contextIn(cell) === around ? cell : attach(cell, around)
      return runIn(view, () => fn(...args))
    }
    return this
  }

  disable(): this {
    Reflect.deleteProperty(storage, 'getStore')
    Reflect.deleteProperty(storage, 'run')
    return this
  }

  #bindFunction(context: Context, target: Callback<unknown[], unknown>): Callback<unknown[], unknown> {
    const enter = (fn: () => unknown) => this.with(context, fn)
    function inContext(this: unknown, ...args: unknown[]): unknown {
      return enter(() => target.apply(this, args))
    }
    return Object.defineProperty(inContext, 'length', { configurable: true, value: target.length })
  }

  /** Node knows a wrapped listener by its `listener`, so that whoever has added it can remove it. */
  #bindEmitter(context: Context, emitter: EventEmitter): void {
    if (bound.has(emitter)) return
    bound.add(emitter)
    // Of the emitter, which may have its own: a stream flows when somebody listens to its data.
    const { addListener, on, prependListener } = emitter
    for (const [name, add] of Object.entries({ addListener, on, prependListener })) {
      emitter[name as 'on'] = (event, listener) =>
        add.call(
          emitter,
          event,
          Object.assign(this.#bindFunction(context, listener), { listener: listener as unknown }),
        )
    }
    for (const [name, add] of [
      ['once', on],
      ['prependOnceListener', prependListener],
    ] as const) {
      emitter[name] = (event, listener) => {
        const inContext = this.#bindFunction(context, listener)
        const once: Listener = (...args) => {
          emitter.removeListener(event, once)
          return inContext.apply(emitter, args)
        }
        return add.call(emitter, event, Object.assign(once, { listener: listener as unknown }))
      }
    }
  }
}

const bound = new WeakSet<EventEmitter>()
/** The methods that `enable` puts its own before. */
const native = Object.getPrototypeOf(storage) as typeof storage

function stored(): Stored {
  return native.getStore.call(storage)
}

function viewWith(attached: unknown): Cell {
  const cell = storage.getStore()
  return cell === undefined ? (new Outside(attached) as unknown as Cell) : attach(cell, attached)
}

/** Node's own `run` asks `getStore` what it must put back. */
let entering = false

function runIn<R>(view: Cell, fn: () => R): R {
  entering = true
  const enter = () => {
    entering = false
    return fn()
  }
  return native.run.call(storage, view, enter) as R
}
