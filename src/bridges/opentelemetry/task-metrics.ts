import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { BatchObservableResult, Counter, Histogram, Meter } from '@opentelemetry/api'
import type {
  InboundRefuseEvent,
  MessageEndEvent,
  MessageEvent,
  MessageRefuseEvent,
  TaskAbandonEvent,
  TaskEndEvent,
  TaskEvent,
  TaskRefuseEvent,
} from '../../tasks/lifecycle.ts'
import type { Task } from '../../tasks/task.ts'
import type { TaskGroup } from '../../tasks/task-group.ts'
import { Annotation } from './annotation.ts'
import { registered } from './diagnosis.ts'
import type { OpenTelemetryApi } from './index.ts'

/** How many tasks run and wait in the groups of one name. */
interface Population {
  running: number
  queued: number
  /** The latest group of the name. */
  group: WeakRef<TaskGroup>
}

/** A reader drops the names of ended groups. Without a reader, no more names are kept than the SDK would report. */
const mostNames = 2000

interface Instruments {
  readonly refused: Counter
  readonly failed: Counter
  readonly abandoned: Counter
  readonly refusals: Counter
  readonly wait: Histogram
  readonly attempts: Counter
  readonly messageRefusals: Counter
  readonly messageWait: Histogram
  readonly processed: Histogram
  /** Removes the callbacks from the meter. */
  readonly end: () => void
}

/** Counts tasks, attempts of jobs, and what was refused. Without a meter provider it does nothing. */
export class TaskMetrics {
  readonly #api: OpenTelemetryApi
  readonly #groups = new Map<string, Population>()
  /** When a counted task was spawned, in milliseconds; then whether it has started or ended. */
  readonly #tasks = new Annotation<Task, number | 'started' | 'ended'>()
  #provider: unknown
  #instruments: Instruments | undefined

  constructor(api: OpenTelemetryApi) {
    this.#api = api
  }

  /** Uses the provider that is registered now. Cheap if it is the same one. */
  resolve(): void {
    const provider = registered('metrics')
    if (provider === this.#provider) return
    this.#provider = provider
    this.#instruments?.end()
    if (this.#instruments === undefined) for (const [name, listen] of this.#listeners) subscribe(name, listen)
    this.#instruments = this.#make(this.#api.metrics.getMeter('logical-context'))
    if (provider === undefined) this.stop()
  }

  stop(): void {
    this.#provider = undefined
    if (this.#instruments === undefined) return
    this.#instruments.end()
    this.#instruments = undefined
    for (const [name, listen] of this.#listeners) unsubscribe(name, listen)
    this.#groups.clear()
  }

  readonly #listeners: readonly (readonly [channel: string, listen: (message: unknown) => void])[] = [
    ['logical-context:task:spawn', (message) => this.#spawned(message as TaskEvent)],
    ['logical-context:task:start', (message) => this.#started(message as TaskEvent)],
    ['logical-context:task:end', (message) => this.#ended(message as TaskEndEvent)],
    [
      'logical-context:task:refuse',
      (message) => this.#instruments?.refused.add(1, groupOf((message as TaskRefuseEvent).group)),
    ],
    [
      'logical-context:task:abandon',
      (message) => this.#instruments?.abandoned.add(1, groupOf((message as TaskAbandonEvent).task.group)),
    ],
    [
      'logical-context:inbound:refuse',
      (message) => {
        const { reason, field } = message as InboundRefuseEvent
        this.#instruments?.refusals.add(1, {
          'logical_context.inbound.reason': reason,
          'logical_context.inbound.field': field,
        })
      },
    ],
    ['logical-context:message:start', (message) => this.#attempted(message as MessageEvent)],
    ['logical-context:message:end', (message) => this.#processed(message as MessageEndEvent)],
    [
      'logical-context:message:refuse',
      (message) => {
        const { reason, field, queue } = message as MessageRefuseEvent
        this.#instruments?.messageRefusals.add(1, {
          'logical_context.message.reason': reason,
          'logical_context.message.field': field,
          ...queueOf(queue),
        })
      },
    ],
  ]

  #attempted({ job, waitMs }: MessageEvent): void {
    if (waitMs !== undefined) this.#instruments?.messageWait.record(waitMs / 1000, queueOf(job.queue))
  }

  #processed({ job, outcome, durationMs }: MessageEndEvent): void {
    const attributes = { ...queueOf(job.queue), 'logical_context.message.outcome': outcome }
    this.#instruments?.attempts.add(1, attributes)
    this.#instruments?.processed.record(durationMs / 1000, attributes)
  }

  #spawned({ task }: TaskEvent): void {
    this.#tasks.set(task, performance.now())
    this.#populationOf(task).queued++
  }

  #started({ task }: TaskEvent): void {
    const spawnedAt = this.#tasks.get(task)
    const population = this.#populationOf(task)
    if (typeof spawnedAt === 'number') {
      population.queued--
      this.#instruments?.wait.record((performance.now() - spawnedAt) / 1000, groupOf(task.group))
    }
    population.running++
    this.#tasks.set(task, 'started')
  }

  #ended({ task, outcome }: TaskEndEvent): void {
    if (outcome === 'failed') this.#instruments?.failed.add(1, groupOf(task.group))
    // A task that was spawned before a provider was registered was not counted.
    const counted = this.#tasks.get(task)
    if (counted === undefined || counted === 'ended') return
    const population = this.#populationOf(task)
    if (counted === 'started') population.running--
    else population.queued--
    this.#tasks.set(task, 'ended')
  }

  #populationOf({ group }: Task): Population {
    const known = this.#groups.get(group.name)
    if (known !== undefined) {
      if (known.group.deref() !== group) known.group = new WeakRef(group)
      return known
    }
    if (this.#groups.size >= mostNames) this.#dropEnded()
    const population = { running: 0, queued: 0, group: new WeakRef(group) }
    this.#groups.set(group.name, population)
    return population
  }

  #dropEnded(): void {
    for (const [name, { running, queued, group }] of this.#groups) {
      if (running === 0 && queued === 0 && group.deref()?.closed !== false) this.#groups.delete(name)
    }
  }

  #make(meter: Meter): Instruments {
    const unit = '{task}'
    const counter = (name: string, description: string) =>
      meter.createCounter(`logical_context.task.${name}`, { unit, description })
    const gauge = (name: string, description: string) =>
      meter.createObservableUpDownCounter(`logical_context.task.${name}`, { unit, description })
    const running = gauge('running', 'Tasks that began and have not ended.')
    const queued = gauge('queued', 'Tasks that wait for a slot in their group.')
    const report = (result: BatchObservableResult) => {
      for (const [name, population] of this.#groups) {
        result.observe(running, population.running, groupOf({ name }))
        result.observe(queued, population.queued, groupOf({ name }))
      }
      this.#dropEnded()
    }
    meter.addBatchObservableCallback(report, [running, queued])
    return {
      refused: counter('refused', 'Spawns that a full or closed group refused.'),
      failed: counter('failed', 'Tasks whose failure went to onError.'),
      abandoned: counter('abandoned', 'Tasks that had not ended at the limit of a drain.'),
      refusals: meter.createCounter('logical_context.inbound.refusals', {
        unit: '{refusal}',
        description: 'Headers of peers, or members of them, that were refused.',
      }),
      wait: meter.createHistogram('logical_context.task.wait.duration', {
        unit: 's',
        description: 'From the spawn of a task to its start.',
      }),
      attempts: meter.createCounter('logical_context.message.attempts', {
        unit: '{attempt}',
        description: 'Attempts of jobs that ended, by their outcome.',
      }),
      messageRefusals: meter.createCounter('logical_context.message.refusals', {
        unit: '{refusal}',
        description: 'Fields of messages that were not read or not written.',
      }),
      messageWait: meter.createHistogram('logical_context.message.wait.duration', {
        unit: 's',
        description: 'From the enqueue of a message to the start of an attempt.',
      }),
      // Semantic conventions for messaging metrics, 1.38
      processed: meter.createHistogram('messaging.process.duration', {
        unit: 's',
        description: 'Duration of an attempt.',
      }),
      end: () => meter.removeBatchObservableCallback(report, [running, queued]),
    }
  }
}

function groupOf({ name }: Pick<TaskGroup, 'name'>): { 'logical_context.task.group': string } {
  return { 'logical_context.task.group': name }
}

function queueOf(queue: string): { 'messaging.destination.name': string } {
  return { 'messaging.destination.name': queue }
}
