import { inspect } from 'node:util'
import type { LinkedList } from './linked-list.ts'
import type { Task } from './task.ts'

/** The tasks of a group as a set that is always up to date, and costs nothing to look at. */
export class TaskSet implements ReadonlySet<Task> {
  readonly #tasks: LinkedList<Task>

  constructor(tasks: LinkedList<Task>) {
    this.#tasks = tasks
  }

  get size(): number {
    return this.#tasks.size
  }

  has(task: Task): boolean {
    return task.group.tasks === this && this.#tasks.has(task)
  }

  forEach(visit: (task: Task, sameTask: Task, set: ReadonlySet<Task>) => void): void {
    for (const task of this) visit(task, task, this)
  }

  /** Of those that are there when it begins. */
  values(): SetIterator<Task> {
    return new Set(this.#tasks.items).values()
  }

  keys(): SetIterator<Task> {
    return this.values()
  }

  entries(): SetIterator<[Task, Task]> {
    return new Set(this.#tasks.items).entries()
  }

  [Symbol.iterator](): SetIterator<Task> {
    return this.values()
  }

  [inspect.custom](): Set<Task> {
    return new Set(this)
  }
}
