import type { Attributes, AttributeValue, Context, Span } from '@opentelemetry/api'
import { type Cell, currentCell } from '../../context/cell.ts'
import { LogFields, type LogFieldsOptions } from '../log-fields.ts'
import { Annotation } from './annotation.ts'
import type { OpenTelemetryApi } from './index.ts'

/** A `SpanProcessor` of the SDK. */
export interface ContextSpanProcessor {
  onStart(span: Span, parentContext: Context): void
  onEnding(span: Span): void
  onEnd(span: unknown): void
  forceFlush(): Promise<void>
  shutdown(): Promise<void>
}

/** Fields that a span has in its own form. */
const notAttributes = new Set(['trace_id', 'span_id', 'trace_flags', 'task_name', 'task_id'])
/** Known fields by the names of their attributes. */
const attributeNames: Readonly<Record<string, string>> = {
  request_id: 'logical_context.request_id',
  job_queue: 'messaging.destination.name',
  job_id: 'messaging.message.id',
  job_attempt: 'logical_context.message.attempt',
}

/** The declared fields of units as attributes of spans. */
export class SpanFields {
  readonly #fields: LogFields
  /** The units that joined a span of other code. */
  readonly #cells = new Annotation<Span, Cell>()

  /** @throws {TypeError} if a field is not a variable, is sensitive, or has a key that is taken. */
  constructor(owner: string, options: LogFieldsOptions) {
    this.#fields = new LogFields(owner, options)
  }

  /** Writes a cell's values of now. */
  write(span: Span, cell: Cell): void {
    if (!span.isRecording() || cell.sealed) return
    const attributes: Attributes = {}
    this.#fields.read(cell, (key, value) => {
      if (notAttributes.has(key)) return
      attributes[attributeNames[key] ?? key] = attributeOf(value)
    })
    span.setAttributes(attributes)
  }

  /** Writes a cell's values of now, and those at the span's end if the SDK calls `onEnding`. */
  follow(span: Span, cell: Cell): void {
    this.write(span, cell)
    this.#cells.set(span, cell)
  }

  /** For the spans that other code starts in a unit. */
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

/** An attribute is a scalar or a list of one kind: any other value is written as JSON, as in a log line. */
function attributeOf(value: unknown): AttributeValue {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  return JSON.stringify(value) ?? typeof value
}

/**
 * Records an exception, of now or of an earlier time in milliseconds, and an error status with `error.type`. Any value
 * may be thrown, also one whose properties throw when they are read, so the SDK receives texts only.
 */
export function recordFailure(api: OpenTelemetryApi, span: Span, error: unknown, at?: number): void {
  const name = typeOfError(error)
  const message = textOf(error, 'message') ?? asText(error)
  const stack = textOf(error, 'stack')
  span.recordException({ name, message, ...(stack !== undefined && { stack }) }, at)
  span.setAttribute('error.type', name)
  span.setStatus({ code: api.SpanStatusCode.ERROR, message })
}

/** The error's code, which is more precise than its class; without a code, its name. */
export function typeOfError(error: unknown): string {
  return textOf(error, 'code') ?? textOf(error, 'name') ?? '_OTHER'
}

function textOf(error: unknown, key: string): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  try {
    const value: unknown = Reflect.get(error, key)
    return typeof value === 'string' && value !== '' ? value : undefined
  } catch {
    return undefined
  }
}

/** A thrown value in one line, also if it has no text. */
export function asText(error: unknown): string {
  try {
    return String(error)
  } catch {
    return `a value of type ${typeof error}`
  }
}
