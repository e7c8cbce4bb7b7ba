import { executionAsyncResource } from 'node:async_hooks'

/** Holds an object in a list: the value of a promise would be awaited. */
let kept: readonly object[] = []

/**
 * Keeps one of the objects that `process.nextTick` creates. V8 forgets their shape when a full garbage collection finds
 * none of them: `nextTick` can then stay slow for the rest of the process, which costs two microseconds per request. It
 * happened in some processes and not in others, so two sides with the same code differed by half.
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
