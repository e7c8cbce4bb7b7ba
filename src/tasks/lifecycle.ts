import { channel } from 'node:diagnostics_channel'
import type { LateUse } from './late-use.ts'
import type { RequestScope } from './request-scope.ts'
import type { Task } from './task.ts'
import type { TaskGroup } from './task-group.ts'

/** On `logical-context:scope:open`, `…:close` and `…:seal`, with the scope's context active. */
export interface ScopeEvent {
  readonly scope: RequestScope
}

/**
 * On `logical-context:task:spawn`, with the spawner's context active, and on `…:start`, with the task's; `start` comes
 * later where the task waits for a place in its group, and never where it is withdrawn from there.
 */
export interface TaskEvent {
  readonly task: Task
}

/** On `logical-context:task:end`, with the task's context active. */
export interface TaskEndEvent extends TaskEvent {
  /** A withdrawn task was aborted before it had begun. */
  readonly outcome: TaskOutcome
  /** Of a task that is not done. */
  readonly error: unknown
}

export type TaskOutcome = 'done' | 'failed' | 'withdrawn'

/** On `logical-context:task:refuse`, with the context of whoever wanted to spawn active. */
export interface TaskRefuseEvent {
  readonly name: string
  readonly group: TaskGroup
  /** A `GroupFullError` or a `GroupClosedError`; it is thrown to the spawner. */
  readonly error: Error
}

/** On `logical-context:task:abandon`: the task has not ended by the limit of its group's drain. */
export interface TaskAbandonEvent extends TaskEvent {
  readonly error: Error
}

/** On `logical-context:context:late`, each time. */
export type LateEvent = Omit<LateUse, 'callSite'>

/** On `logical-context:inbound:refuse`: something that a peer sent was not taken. */
export interface InboundRefuseEvent {
  readonly reason: string
  /** The header, or the header and its member. */
  readonly field: string
}

/** Publish only behind `hasSubscribers`: no message is made when nobody listens. */
interface EventChannel<Message> {
  readonly hasSubscribers: boolean
  publish(message: Message): void
}

function open<Message>(name: string): EventChannel<Message> {
  return channel(`logical-context:${name}`)
}

export const scopeOpen: EventChannel<ScopeEvent> = open('scope:open')
export const scopeClose: EventChannel<ScopeEvent> = open('scope:close')
export const scopeSeal: EventChannel<ScopeEvent> = open('scope:seal')
export const taskSpawn: EventChannel<TaskEvent> = open('task:spawn')
export const taskStart: EventChannel<TaskEvent> = open('task:start')
export const taskEnd: EventChannel<TaskEndEvent> = open('task:end')
export const taskRefuse: EventChannel<TaskRefuseEvent> = open('task:refuse')
export const taskAbandon: EventChannel<TaskAbandonEvent> = open('task:abandon')
export const contextLate: EventChannel<LateEvent> = open('context:late')
export const inboundRefuse: EventChannel<InboundRefuseEvent> = open('inbound:refuse')
