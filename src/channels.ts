import type { LostEvent } from './errors.ts'
import * as lifecycle from './tasks/lifecycle.ts'
import type {
  CallEndEvent,
  CallEvent,
  DrainEndEvent,
  DrainEvent,
  EventChannel,
  InboundRefuseEvent,
  LateEvent,
  MessageEndEvent,
  MessageEvent,
  MessageRefuseEvent,
  MessageSendEvent,
  ScopeEvent,
  TaskAbandonEvent,
  TaskEndEvent,
  TaskEvent,
  TaskRefuseEvent,
} from './tasks/lifecycle.ts'

export type { LostEvent } from './errors.ts'
export type {
  CallEndEvent,
  CallEvent,
  DrainEndEvent,
  DrainEvent,
  EventChannel,
  EventListener,
  InboundRefuseEvent,
  LateEvent,
  MessageEndEvent,
  MessageEvent,
  MessageEventJob,
  MessageRefuseEvent,
  MessageSendEvent,
  OutboundCall,
  ScopeEvent,
  TaskAbandonEvent,
  TaskEndEvent,
  TaskEvent,
  TaskOutcome,
  TaskRefuseEvent,
} from './tasks/lifecycle.ts'

/** The channels of all events of this package, as channels of `node:diagnostics_channel`. */
export const channels: {
  /** A unit opened, in its context. */
  readonly scopeOpen: EventChannel<ScopeEvent>
  /** A unit's `close()` was called, in its context. */
  readonly scopeClose: EventChannel<ScopeEvent>
  /** The work of a unit has ended, in its context. Its values are dropped next. */
  readonly scopeEnd: EventChannel<ScopeEvent>
  /** A unit's values were dropped, except the survivors, in its context. */
  readonly scopeSeal: EventChannel<ScopeEvent>
  /** A group accepted a task, in the spawner's context. */
  readonly taskSpawn: EventChannel<TaskEvent>
  /** A task's function is about to be called, in the task's context. */
  readonly taskStart: EventChannel<TaskEvent>
  /** A task ended, in its context. */
  readonly taskEnd: EventChannel<TaskEndEvent>
  /** A group refused a task, in the spawner's context. */
  readonly taskRefuse: EventChannel<TaskRefuseEvent>
  /** A task did not end before the limit of its group's drain. */
  readonly taskAbandon: EventChannel<TaskAbandonEvent>
  /** A drain of a group, or the close of a server, began. */
  readonly drainStart: EventChannel<DrainEvent>
  /** A drain has nothing left to wait for, or its time is over. */
  readonly drainEnd: EventChannel<DrainEndEvent>
  /** A client of this package is about to make a call, in the context of the caller. */
  readonly callStart: EventChannel<CallEvent>
  /** The response of a call began, or the call failed. */
  readonly callEnd: EventChannel<CallEndEvent>
  /** A variable was read or written after its unit ended, in the context of that code. */
  readonly contextLate: EventChannel<LateEvent>
  /** A function that needs a unit was called outside any unit. */
  readonly contextLost: EventChannel<LostEvent>
  /** A field that a peer sent was not used. */
  readonly inboundRefuse: EventChannel<InboundRefuseEvent>
  /** A message is about to be enqueued, in the context of that code. */
  readonly messageSend: EventChannel<MessageSendEvent>
  /** An attempt of a job is about to begin, in its context. */
  readonly messageStart: EventChannel<MessageEvent>
  /** An attempt of a job ended, in its context. */
  readonly messageEnd: EventChannel<MessageEndEvent>
  /** A field of a message was not read or not written. */
  readonly messageRefuse: EventChannel<MessageRefuseEvent>
} = {
  scopeOpen: lifecycle.scopeOpen,
  scopeClose: lifecycle.scopeClose,
  scopeEnd: lifecycle.scopeEnd,
  scopeSeal: lifecycle.scopeSeal,
  taskSpawn: lifecycle.taskSpawn,
  taskStart: lifecycle.taskStart,
  taskEnd: lifecycle.taskEnd,
  taskRefuse: lifecycle.taskRefuse,
  taskAbandon: lifecycle.taskAbandon,
  drainStart: lifecycle.drainStart,
  drainEnd: lifecycle.drainEnd,
  callStart: lifecycle.callStart,
  callEnd: lifecycle.callEnd,
  contextLate: lifecycle.contextLate,
  contextLost: lifecycle.openChannel('context:lost'),
  inboundRefuse: lifecycle.inboundRefuse,
  messageSend: lifecycle.messageSend,
  messageStart: lifecycle.messageStart,
  messageEnd: lifecycle.messageEnd,
  messageRefuse: lifecycle.messageRefuse,
}
