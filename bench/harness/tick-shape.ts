import { executionAsyncResource } from 'node:async_hooks'

/** Holds an object in a list: the value of a promise would be awaited. */
let kept: readonly object[] = []

/**
 * Keeps one of the objects that `process.nextTick` creates. V8 forgets the shape of objects when a full garbage
 * collection finds none of them; after about ten times, `nextTick` stays slow for the rest of the process, which costs
 * several microseconds per request. It happened in some processes and not in others, so two equal sides differed.
 */
export async function keepTickShape(): Promise<void> {
  kept = await new Promise<readonly object[]>((resolve) => {
    process.nextTick(() => resolve([executionAsyncResource()]))
  })
}

/** For the row that measures this effect. */
export function dropTickShape(): void {
  kept = []
}

export function keepsTickShape(): boolean {
  return kept.length > 0
}
