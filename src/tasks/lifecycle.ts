import { channel } from 'node:diagnostics_channel'
import type { LateUse } from './late-use.ts'
import type { RequestScope } from './request-scope.ts'
import type { Task } from './task.ts'
import type { TaskGroup } from './task-group.ts'

/** On `logical-context:scope:open`, `…:close`, `…:end` and `…:seal`, with the scope's context active. */
export interface ScopeEvent {
  readonly scope: RequestScope
}

/**
 * On `logical-context:task:spawn`, with the spawner's context active, and on `…:start`, with the task's. A deferred task
 * starts later; a task that is withdrawn never starts.
 */
export interface TaskEvent {
  readonly task: Task
}

/** On `logical-context:task:end`, with the task's context active. */
export interface TaskEndEvent extends TaskEvent {
  /** Whether it succeeded, failed, stopped because it was cancelled, or was cancelled before it began (`withdrawn`). */
  readonly outcome: TaskOutcome
  /** Undefined for the outcome `done`. */
  readonly error: unknown
}

/** How a task ended; `withdrawn` if it was cancelled before it began. */
export type TaskOutcome = 'done' | 'failed' | 'cancelled' | 'withdrawn'

/** On `logical-context:task:refuse`, with the spawner's context active. */
export interface TaskRefuseEvent {
  readonly name: string
  readonly group: TaskGroup
  /** A `GroupFullError` or a `GroupClosedError`; it is thrown to the spawner. */
  readonly error: Error
}

/** On `logical-context:task:abandon`: the task had not ended at the limit of its group's drain. */
export interface TaskAbandonEvent extends TaskEvent {
  readonly error: Error
}

/** On `logical-context:drain:start`: a group, or the server that it belongs to, waits for its work. */
export interface DrainEvent {
  readonly group: TaskGroup
  /** How long it waits before the signals of the remaining work abort, in milliseconds. */
  readonly timeoutMs: number
}

/** On `logical-context:drain:end`: nothing is left, or the time is over. A server has not closed its connections yet. */
export interface DrainEndEvent extends DrainEvent {
  readonly elapsedMs: number
  /** Whether work was left at the limit. */
  readonly reachedLimit: boolean
}

/** On `logical-context:call:start` and `…:end`, with the caller's context active. */
export interface CallEvent {
  /** One object for both events of a call. */
  readonly call: OutboundCall
}

/** A call to another service. */
export interface OutboundCall {
  /** The function that made it, such as `contextFetch`. */
  readonly client: string
  /** The method and the URL, without its query: `GET http://127.0.0.1:3000/prices`. */
  readonly name: string
}

/** On `logical-context:call:end`: the response began, or the call failed. For `node:http`: the response ended. */
export interface CallEndEvent extends CallEvent {
  /** The HTTP status of the response. Undefined for a call that failed, and for gRPC and Connect. */
  readonly status: number | undefined
  /** Why the call failed; undefined if it did not. */
  readonly error: unknown
}

/** On `logical-context:context:late`, for each late use. */
export type LateEvent = Omit<LateUse, 'callSite'>

/** On `logical-context:inbound:refuse`: something that a peer sent was refused. */
export interface InboundRefuseEvent {
  readonly reason: string
  /** The header, or the header and its member. */
  readonly field: string
}

/** On `logical-context:message:send`, in the context of the code that enqueues. */
export interface MessageSendEvent {
  readonly queue: string
  readonly policy: 'inherit' | 'isolate' | 'only' | 'except'
}

/** The message of an attempt, as the variable `message` has it. */
export interface MessageEventJob {
  readonly queue: string
  readonly name: string
  /** The engine's id. Undefined if the engine has none. */
  readonly id: string | undefined
  /** Counts up from 1. */
  readonly attempt: number
  readonly policy: 'inherit' | 'isolate' | 'only' | 'except' | undefined
}

/** On `logical-context:message:start`, in the context of the attempt. */
export interface MessageEvent {
  readonly scope: RequestScope
  readonly job: MessageEventJob
  /** From the enqueue to this attempt, in milliseconds, by the clocks of both machines. Undefined if it is unknown. */
  readonly waitMs: number | undefined
}

/** On `logical-context:message:end`, in the context of the attempt. */
export interface MessageEndEvent extends MessageEvent {
  /** `cancelled` is a failure that says only that the signal was aborted. The engine can run the job again. */
  readonly outcome: 'done' | 'failed' | 'cancelled'
  /** Undefined for the outcome `done`. */
  readonly error: unknown
  /** The time of the handler in milliseconds. */
  readonly durationMs: number
}

/** On `logical-context:message:refuse`: a field of a message was not read or not written. */
export interface MessageRefuseEvent extends InboundRefuseEvent {
  readonly queue: string
}

/** A channel of `node:diagnostics_channel`, with the type of its messages. */
export interface EventChannel<Message> {
  /** Its name in `node:diagnostics_channel`, such as `logical-context:task:end`. */
  readonly name: string | symbol
  /** Whether there is a listener. Without one, no message is created. */
  readonly hasSubscribers: boolean
  subscribe(listener: EventListener<Message>): void
  /** Returns whether the listener was subscribed. */
  unsubscribe(listener: EventListener<Message>): boolean
}

/** Called synchronously for each event. An error that it throws becomes an uncaught exception of the process. */
export type EventListener<Message> = (message: Message, name: string | symbol) => void

/** Publish only if `hasSubscribers`, so that no message is created without a listener. */
interface Publisher<Message> extends EventChannel<Message> {
  publish(message: Message): void
}

export function openChannel<Message>(name: string): Publisher<Message> {
  // By its types, `unsubscribe` returns nothing.
  return channel(`logical-context:${name}`) as unknown as Publisher<Message>
}

export const scopeOpen: Publisher<ScopeEvent> = openChannel('scope:open')
export const scopeClose: Publisher<ScopeEvent> = openChannel('scope:close')
export const scopeEnd: Publisher<ScopeEvent> = openChannel('scope:end')
export const scopeSeal: Publisher<ScopeEvent> = openChannel('scope:seal')
export const taskSpawn: Publisher<TaskEvent> = openChannel('task:spawn')
export const taskStart: Publisher<TaskEvent> = openChannel('task:start')
export const taskEnd: Publisher<TaskEndEvent> = openChannel('task:end')
export const taskRefuse: Publisher<TaskRefuseEvent> = openChannel('task:refuse')
export const taskAbandon: Publisher<TaskAbandonEvent> = openChannel('task:abandon')
export const drainStart: Publisher<DrainEvent> = openChannel('drain:start')
export const drainEnd: Publisher<DrainEndEvent> = openChannel('drain:end')
export const callStart: Publisher<CallEvent> = openChannel('call:start')
export const callEnd: Publisher<CallEndEvent> = openChannel('call:end')
export const contextLate: Publisher<LateEvent> = openChannel('context:late')
export const inboundRefuse: Publisher<InboundRefuseEvent> = openChannel('inbound:refuse')
export const messageSend: Publisher<MessageSendEvent> = openChannel('message:send')
export const messageStart: Publisher<MessageEvent> = openChannel('message:start')
export const messageEnd: Publisher<MessageEndEvent> = openChannel('message:end')
export const messageRefuse: Publisher<MessageRefuseEvent> = openChannel('message:refuse')
