interface SleepOptions {
  signal?: AbortSignal
}

/** Resolves after a time, or rejects with the reason of the signal. Fake timers advance it. */
export async function sleep(ms: number, { signal }: SleepOptions = {}): Promise<void> {
  const end = Promise.withResolvers<void>()
  const timer = setTimeout(end.resolve, ms)
  const onAbort = () => end.reject(signal?.reason)
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort)
  try {
    await end.promise
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}
