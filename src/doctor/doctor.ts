import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { callContained } from '../callbacks.ts'
import type { ContextVar } from '../context/context-var.ts'
import { currentCell } from '../context/cell.ts'
import { copiesOf, processSingleton } from '../context/storage.ts'
import { entriesOf, isPresent } from '../context/values.ts'
import { watch } from '../context/watch.ts'
import type { LostEvent } from '../errors.ts'
import { aBoolean, aFunction, type Checks, checkOptions } from '../options.ts'
import type { LateEvent, ScopeEvent } from '../tasks/lifecycle.ts'
import type { RequestScope } from '../tasks/request-scope.ts'
import type { CallSite } from './call-site.ts'
import { callSiteHere, type Finding, Findings } from './finding.ts'
import { remedies } from './remedies.ts'
import { watchEmitters } from './watch-emitters.ts'

/** Options of `doctor`. */
export interface DoctorOptions {
  /** Called for the first sighting at each call site. Default: writes some lines to stderr. */
  onFinding?: (finding: Finding) => void
  /** Whether a summary is written to stderr when the process exits. Default: true. */
  summary?: boolean
}

/** The doctor of this process, while it is on. */
export interface Doctor extends Disposable {
  /** The findings so far, in the order of their first sightings. A copy. */
  readonly findings: readonly Finding[]
  /** Ends it and removes all that it installed. A second call does nothing. */
  stop(): void
}

const checks: Checks = { onFinding: aFunction, summary: aBoolean }
const running: { current: Doctor | undefined } = processSingleton('doctor', () => ({ current: undefined }))

/**
 * Reports where the context is lost or swapped: the file and line, the library that called the code, how often, and what
 * to do. For development: it reads a stack for each event it observes. Call it before the server starts. A second call
 * returns the doctor that is on; its options have no effect.
 *
 * The environment variable `LOGICAL_CONTEXT_DOCTOR=1` does the same when the package is loaded.
 *
 * @throws {TypeError} for an option that is unknown or of the wrong type.
 */
export function doctor(options?: DoctorOptions): Doctor {
  const { onFinding = printFinding, summary = true } = checkOptions('doctor', options, checks)
  return (running.current ??= start(onFinding, summary))
}

function start(onFinding: (finding: Finding) => void, summary: boolean): Doctor {
  const findings = new Findings((finding) => callContained('onFinding', onFinding, finding))
  const live = new Set<RequestScope>()
  const bound = new WeakSet<object>()
  const reads = new OutsideReads(findings, live)

  const listeners: [channel: string, listener: (event: unknown) => void][] = [
    ['scope:open', (event) => live.add((event as ScopeEvent).scope)],
    [
      // The unit of an async function closes before the function ends.
      'scope:end',
      (event) => {
        const { scope } = event as ScopeEvent
        live.delete(scope)
        reads.learn(scope)
      },
    ],
    [
      'context:late',
      (event) => {
        const { operation, variable, unit } = event as LateEvent
        const what = `${operation} of '${variable}' after the end of '${unit}'`
        findings.add({ kind: 'late', what, subject: `${operation} ${variable}`, site: callSiteHere() })
      },
    ],
    [
      'context:lost',
      (event) => {
        const { operation } = event as LostEvent
        if (reads.isOfLast(operation)) return
        const what = `${operation} outside any unit`
        findings.add({ kind: 'outside', what, site: callSiteHere(), isIdle: live.size === 0 })
      },
    ],
  ]
  for (const [channel, listener] of listeners) subscribe(`logical-context:${channel}`, listener)

  watch.current = {
    bound: (fn) => bound.add(fn),
    lineOutside() {
      if (live.size === 0) return
      findings.add({ kind: 'log line', what: 'a log line outside any unit, while requests run', site: callSiteHere() })
    },
  }
  const stopReads = watchReads(reads)
  const stopEmitters = watchEmitters(
    ({ what, site, library, createdHere }) => {
      const remedy = createdHere ? { remedy: remedies.outside } : {}
      const sighting = { what: `${what} of one request ran in another`, subject: '', site, library, ...remedy }
      findings.add({ kind: 'swapped', ...sighting })
    },
    // The name of a function that `AsyncResource.bind` and `AsyncLocalStorage.bind` return.
    (fn) => bound.has(fn) || /^bound(?: runInAsyncScope)?$/.test((fn as { name?: string }).name ?? ''),
  )
  const onExit = () => {
    for (const scope of live) reads.learn(scope)
    if (summary) printSummary(findings.all)
  }
  process.once('exit', onExit)

  const self: Doctor = {
    get findings() {
      for (const scope of live) reads.learn(scope)
      return findings.all
    },
    stop() {
      if (running.current !== self) return
      running.current = undefined
      watch.current = undefined
      stopReads()
      stopEmitters()
      for (const [channel, listener] of listeners) unsubscribe(`logical-context:${channel}`, listener)
      process.off('exit', onExit)
    },
    [Symbol.dispose]() {
      self.stop()
    },
  }
  return self
}

interface OutsideRead {
  readonly kind: 'outside'
  readonly what: string
  readonly site: CallSite
  readonly isIdle: boolean
}

/** Reads of variables outside any unit. They count if a request sets the variable, before or after the read. */
class OutsideReads {
  readonly #findings: Findings
  readonly #live: ReadonlySet<RequestScope>
  readonly #setByRequests = new Set<number>()
  readonly #waiting = new Map<number, OutsideRead[]>()
  #last:
    | { readonly name: string; readonly index: number; readonly read: OutsideRead; readonly isKnown: boolean }
    | undefined

  constructor(findings: Findings, live: ReadonlySet<RequestScope>) {
    this.#findings = findings
    this.#live = live
  }

  add({ index, name }: { readonly index: number; readonly name: string }): void {
    const what = `read of '${name}' outside any unit`
    const read: OutsideRead = { kind: 'outside', what, site: callSiteHere(), isIdle: this.#live.size === 0 }
    const isKnown = this.#setByRequests.has(index)
    this.#last = { name, index, read, isKnown }
    if (isKnown) return this.#findings.add(read)
    const waiting = this.#waiting.get(index) ?? []
    if (waiting.length < maxWaiting) this.#waiting.set(index, [...waiting, read])
  }

  /**
   * Whether the last read is part of the operation: `getOrThrow` calls `get`, and then throws. Then the read is reported,
   * also if no request sets its variable.
   */
  isOfLast(operation: string): boolean {
    const last = this.#last
    this.#last = undefined
    if (last === undefined || operation !== `ContextVar '${last.name}': getOrThrow()`) return false
    const { index, read, isKnown } = last
    if (isKnown) return true
    this.#waiting.set(index, this.#waiting.get(index)?.filter((other) => other !== read) ?? [])
    this.#findings.add(read)
    return true
  }

  /** Records the variables that a request has set. */
  learn({ cell }: RequestScope): void {
    for (const [index, raw] of entriesOf(cell.share())) {
      if (!isPresent(raw) || this.#setByRequests.has(index)) continue
      this.#setByRequests.add(index)
      for (const read of this.#waiting.get(index) ?? []) this.#findings.add(read)
      this.#waiting.delete(index)
    }
  }
}

/** How many reads of one variable are kept until a request sets it. */
const maxWaiting = 100

/** Replaces `get` of all variables, also of other copies of the package. Returns a function that restores it. */
function watchReads(reads: OutsideReads): () => void {
  const restore = Array.from(copiesOf('ContextVar'), ({ prototype }) => {
    const descriptor = Object.getOwnPropertyDescriptor(prototype, 'get') as PropertyDescriptor
    const { get } = prototype as ContextVar<unknown, unknown>
    const observed = function (this: ContextVar<unknown, unknown>): unknown {
      if (currentCell() === undefined) reads.add(this)
      return get.call(this)
    }
    Object.defineProperty(prototype, 'get', { ...descriptor, value: observed })
    return () => Object.defineProperty(prototype, 'get', descriptor)
  })
  return () => {
    for (const undo of restore) undo()
  }
}

/** Writes a finding to stderr. */
function printFinding({ what, callSite, library, remedy }: Finding): void {
  const caller = library === undefined ? '' : ` (called by ${library})`
  console.error(
    `logical-context doctor: ${what}\n  at ${callSite || 'an unknown place'}${caller}\n  ${remedy.advice}\n  ${pageOf(remedy.page)}`,
  )
}

/** Writes all findings to stderr, the most frequent first. */
function printSummary(findings: readonly Finding[]): void {
  if (findings.length === 0) return
  const lines = findings
    .toSorted((a, b) => b.count - a.count)
    .map(({ count, what, callSite, library, remedy }) => {
      const caller = library === undefined ? '' : ` (${library})`
      return `  ${String(count).padStart(6)} × ${what} at ${callSite || 'an unknown place'}${caller}: ${remedy.name}`
    })
  const places = findings.length === 1 ? '1 place' : `${findings.length} places`
  console.error(`logical-context doctor: the context was lost or swapped in ${places}\n${lines.join('\n')}`)
}

function pageOf(page: string): string {
  return `node_modules/logical-context/${page}`
}
