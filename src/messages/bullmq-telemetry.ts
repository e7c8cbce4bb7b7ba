import type { Attributes, Span, Telemetry } from 'bullmq'
import { envelopeKey } from './envelope.ts'

/** The context of BullMQ's calls: the other telemetry's, if there is one. */
type Inner = unknown

/** What is next to the envelope in BullMQ's metadata, which is one text. */
export interface BullMetadata {
  /** The metadata of another telemetry. */
  readonly telemetry?: string
}

/** A text that is not JSON has no envelope, and does not change. */
export function parsedMetadata(metadata: string | undefined): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(metadata ?? '{}')
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : { [envelopeKey]: value }
  } catch {
    return { [envelopeKey]: metadata }
  }
}

/** The operations of a failed attempt. BullMQ requests metadata for these too; the job keeps the context of its sender. */
const failures: ReadonlySet<unknown> = new Set(['retry', 'delay', 'fail'])
/** BullMQ's enum `TelemetryAttributes`. */
const queueKey = 'bullmq.queue.name'
const operationKey = 'bullmq.queue.operation'
const noAttributes: Attributes = {}

/** Writes the sender's context into the metadata of each job, next to that of another telemetry. */
export class ContextTelemetry implements Telemetry<Inner> {
  readonly tracer: Telemetry<Inner>['tracer']
  readonly contextManager: Telemetry<Inner>['contextManager']
  readonly meter?: NonNullable<Telemetry['meter']>
  /** Those of the last span. BullMQ sets them right before it requests the metadata of that operation. */
  #attributes: Attributes = noAttributes
  /** The metadata of a job that is enqueued now. */
  #prepared: { readonly queue: string; readonly metadata: string } | undefined
  readonly #theirs: Telemetry<Inner>['contextManager'] | undefined

  constructor(
    inner: Telemetry<Inner> | undefined,
    metadataFor: (queue: string, policy: undefined, theirs?: string) => string,
  ) {
    if (inner?.meter !== undefined) this.meter = inner.meter
    const note = (attributes: Attributes) => {
      if (operationKey in attributes) this.#attributes = attributes
    }
    // Without another telemetry, all spans are one object.
    const none = new NotedSpan(undefined, note)
    this.tracer = {
      startSpan: (name, options, context) => {
        this.#attributes = noAttributes
        return inner === undefined ? none : new NotedSpan(inner.tracer.startSpan(name, options, context), note)
      },
    }
    const theirs = inner?.contextManager
    this.#theirs = theirs
    const root = theirs?.root
    this.contextManager = {
      with: (context, fn) => (theirs === undefined ? (fn() as ReturnType<typeof fn>) : theirs.with(context, fn)),
      active: () => theirs?.active(),
      getMetadata: (context) => {
        const { [queueKey]: queue = 'bullmq', [operationKey]: operation } = this.#attributes
        // Without a text, BullMQ writes no metadata.
        if (failures.has(operation)) return ''
        const prepared = this.#prepared
        if (prepared !== undefined && prepared.queue === queue) {
          this.#prepared = undefined
          return prepared.metadata
        }
        return metadataFor(String(queue), undefined, theirs?.getMetadata(context))
      },
      fromMetadata(active, metadata) {
        if (theirs === undefined) return active
        const { telemetry } = parsedMetadata(metadata)
        return typeof telemetry === 'string' ? theirs.fromMetadata(active, telemetry) : active
      },
      ...(theirs !== undefined && root !== undefined && { root: () => root.call(theirs) }),
    }
  }

  /** `fn` in the current context of the other telemetry, such as the span of an attempt. */
  inCurrentContext<Args extends unknown[], R>(fn: (...args: Args) => R): (...args: Args) => R {
    const theirs = this.#theirs
    if (theirs === undefined) return fn
    const context = theirs.active()
    return (...args) => theirs.with(context, () => fn(...args))
  }

  /** Enqueues a job that has its metadata. BullMQ requests it once more, before the call returns. */
  withMetadata<R>(queue: string, metadata: string, enqueue: () => R): R {
    this.#prepared = { queue, metadata }
    try {
      return enqueue()
    } finally {
      this.#prepared = undefined
    }
  }
}

/** The span of another telemetry, if there is one. It passes on which queue it is for. */
class NotedSpan implements Span<Inner> {
  readonly #inner: Span<Inner> | undefined
  readonly #note: (attributes: Attributes) => void

  constructor(inner: Span<Inner> | undefined, note: (attributes: Attributes) => void) {
    this.#inner = inner
    this.#note = note
  }

  setSpanOnContext(context: Inner): Inner {
    return this.#inner === undefined ? context : this.#inner.setSpanOnContext(context)
  }

  setAttributes(attributes: Attributes): void {
    this.#note(attributes)
    this.#inner?.setAttributes(attributes)
  }

  setAttribute(...args: Parameters<Span['setAttribute']>): void {
    this.#inner?.setAttribute(...args)
  }

  addEvent(...args: Parameters<Span['addEvent']>): void {
    this.#inner?.addEvent(...args)
  }

  recordException(...args: Parameters<Span['recordException']>): void {
    this.#inner?.recordException(...args)
  }

  end(): void {
    this.#inner?.end()
  }
}
