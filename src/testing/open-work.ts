import { AssertionError } from 'node:assert'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { EventEmitter } from 'node:events'
import { aFunction, anAmount, anyOf, checkArgument, type Checks, checkOptions } from '../options.ts'
import type { ScopeEvent, TaskEvent } from '../tasks/lifecycle.ts'
import { after } from '../tasks/timer.ts'

/** Options of `watchOpenWork` and `failOnOpenWork`. */
export interface OpenWorkOptions {
  /** Emitters on which the test may leave no listener, such as a shared client. `process` is always one. Default: none. */
  emitters?: readonly EventEmitter[]
  /** How long the check waits for tasks and units, in milliseconds. Default: 1,000. */
  timeoutMs?: number
}

/** What a test opened since the watch began. */
export interface OpenWork {
  /**
   * Ends the watch. Waits until the tasks and units that began since then have ended. Rejects with an `AssertionError`
   * that names what is left: tasks, units, listeners, servers that listen.
   */
  check(): Promise<void>
}

/** The hooks of a test runner. */
export interface TestHooks {
  beforeEach(hook: () => void): unknown
  afterEach(hook: () => Promise<void>): unknown
}

const checks: Checks = {
  emitters: anyOf('an array of EventEmitters', (value) => Array.isArray(value) && value.every(isEmitter)),
  timeoutMs: anAmount,
}

/**
 * Fails each test that leaves a task, a unit, a listener or a server open. Call it once in a file, or in its setup. Tests
 * that run at the same time in one process cannot be distinguished: do not use it with them.
 *
 * @throws {TypeError} without the two hooks, or for an option that is unknown or of the wrong type.
 */
export function failOnOpenWork(hooks: TestHooks, options?: OpenWorkOptions): void {
  const { beforeEach, afterEach } = Object(hooks) as TestHooks
  for (const hook of [beforeEach, afterEach])
    checkArgument('failOnOpenWork: a hook of the test runner', aFunction, hook)
  const checked = checkOptions('failOnOpenWork', options, checks)
  let work: OpenWork | undefined
  beforeEach(() => {
    work = watchOpenWork(checked)
  })
  afterEach(async () => {
    const begun = work
    work = undefined
    await begun?.check()
  })
}

/**
 * Watches what the code opens from now on, in the whole process.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type.
 */
export function watchOpenWork(options?: OpenWorkOptions): OpenWork {
  const { emitters = [], timeoutMs = 1000 } = checkOptions('watchOpenWork', options, checks)
  const watched = [process as EventEmitter, ...emitters]
  const listenersBefore = watched.map(listenersOf)
  const serversBefore = listeningServers()
  const open = new Map<object, string>()
  let onChange = () => {}
  const add = (item: object, description: string) => void open.set(item, description)
  const remove = (item: object) => {
    if (open.delete(item)) onChange()
  }
  const listeners: [channel: string, listener: (event: unknown) => void][] = [
    ['scope:open', (event) => add((event as ScopeEvent).scope, 'unit')],
    ['scope:seal', (event) => remove((event as ScopeEvent).scope)],
    ['task:spawn', (event) => add((event as TaskEvent).task, 'task')],
    ['task:end', (event) => remove((event as TaskEvent).task)],
  ]
  for (const [channel, listener] of listeners) subscribe(`logical-context:${channel}`, listener)

  const idle = async () => {
    const limit = Promise.withResolvers<void>()
    const stop = after(timeoutMs, limit.resolve)
    onChange = () => {
      if (open.size === 0) limit.resolve()
    }
    onChange()
    await limit.promise
    stop()
    // For a listener that is removed after the last event, and for servers: Node ends a handle after the immediates.
    let turns = 0
    do await new Promise((resolve) => setImmediate(resolve))
    while (++turns < maxTurns && listeningServers() > serversBefore)
  }

  return {
    async check() {
      try {
        await idle()
      } finally {
        for (const [channel, listener] of listeners) unsubscribe(`logical-context:${channel}`, listener)
      }
      const left = [
        ...Array.from(open, ([item, kind]) => `the ${kind} '${(item as { name: string }).name}'`),
        ...watched.flatMap((emitter, index) => addedListeners(emitter, listenersBefore[index])),
        ...Array.from({ length: listeningServers() - serversBefore }, () => 'a server that listens'),
      ]
      if (left.length === 0) return
      throw new AssertionError({
        message: `The test left open: ${left.join(', ')}.`,
        actual: left,
        expected: [],
        operator: 'deepStrictEqual',
      })
    },
  }
}

function isEmitter(value: unknown): boolean {
  const { eventNames, rawListeners } = Object(value) as Partial<EventEmitter>
  return typeof eventNames === 'function' && typeof rawListeners === 'function'
}

/** How many turns of the event loop a server has for the end of its close. */
const maxTurns = 10

type Listeners = ReadonlyMap<string | symbol, readonly Function[]>

function listenersOf(emitter: EventEmitter): Listeners {
  return new Map(emitter.eventNames().map((event) => [event, emitter.rawListeners(event)]))
}

function addedListeners(emitter: EventEmitter, before: Listeners | undefined): string[] {
  const owner = emitter === process ? 'process' : emitter.constructor.name
  return Array.from(listenersOf(emitter)).flatMap(([event, listeners]) => {
    const known = before?.get(event) ?? []
    const added = listeners.filter((listener) => !known.includes(listener))
    return added.map(({ name }) => `a listener ${name === '' ? '' : `'${name}' `}of '${String(event)}' on ${owner}`)
  })
}

function listeningServers(): number {
  return process.getActiveResourcesInfo().filter((type) => type === 'TCPServerWrap' || type === 'PipeServerWrap').length
}
