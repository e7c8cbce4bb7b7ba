import type { Attributes, AttributeValue, Context, Span } from '@opentelemetry/api'
import { type Cell, currentCell } from '../context/cell.ts'
import { LogFields, type LogFieldsOptions } from './log-fields.ts'

/** A `SpanProcessor` of the SDK's. */
export interface ContextSpanProcessor {
  onStart(span: Span, parentContext: Context): void
  onEnding(span: Span): void
  onEnd(span: unknown): void
  forceFlush(): Promise<void>
  shutdown(): Promise<void>
}

/** Fields that a span has in its own way. */
const notAttributes = new Set(['trace_id', 'span_id', 'trace_flags', 'task_name', 'task_id'])
const requestIdAttribute = 'logical_context.request_id'

/** The declared fields of units as attributes of spans. */
export class SpanFields {
  readonly #fields: LogFields
  /** The units that somebody else's spans stand for. */
  readonly #cells = new WeakMap<Span, Cell>()

  /** @throws {TypeError} for a field that is no variable, is sensitive, or has a key that is taken. */
  constructor(owner: string, options: LogFieldsOptions) {
    this.#fields = new LogFields(owner, options)
  }

  /** Writes what a cell says now. */
  write(span: Span, cell: Cell): void {
    if (!span.isRecording() || cell.sealed) return
    const attributes: Attributes = {}
    this.#fields.read(cell, (key, value) => {
      if (notAttributes.has(key)) return
      attributes[key === 'request_id' ? requestIdAttribute : key] = attributeOf(value)
    })
    span.setAttributes(attributes)
  }

  /** Writes what a cell says now, and, where the SDK asks its processors at a span's end, what it says then. */
  follow(span: Span, cell: Cell): void {
    this.write(span, cell)
    this.#cells.set(span, cell)
  }

  /** For the spans that others start in a unit. */
  readonly processor: ContextSpanProcessor = {
    onStart: (span) => {
      const cell = currentCell()
      if (cell !== undefined) this.write(span, cell)
    },
    onEnding: (span) => {
      const cell = this.#cells.get(span)
      if (cell !== undefined) this.write(span, cell)
    },
    onEnd() {},
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  }
}

/** An attribute is flat, or a list of one kind: anything else goes as the JSON that a log line has of it. */
function attributeOf(value: unknown): AttributeValue {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  return JSON.stringify(value) ?? typeof value
}
