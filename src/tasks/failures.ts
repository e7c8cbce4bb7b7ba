import type { OnGroupFailure } from './structured-task-group.ts'

/** The failures of a group; one that reaches it on two ways counts once. */
export class Failures {
  readonly #errors = new Set<unknown>()

  get errors(): unknown[] {
    return Array.from(this.#errors)
  }

  /** Keeps the failure and cancels the rest of the group. */
  readonly take: OnGroupFailure = (error, group, task) => {
    this.#errors.add(error)
    group.cancel(task === undefined ? 'its body has failed' : `the task '${task.name}' has failed`, error)
  };

  in(name: string): AggregateError {
    const { errors } = this
    const [first] = errors
    const message = first instanceof Error ? first.message : String(first)
    return new AggregateError(errors, `${errors.length} failed in '${name}', see 'errors'. The first: ${message}`)
  }
}
