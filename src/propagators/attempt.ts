/** What a function of somebody else's gives, or undefined if it throws: on a peer's input nothing may. */
export function attempt<T>(fn: () => T): T | undefined {
  try {
    return fn()
  } catch {
    return undefined
  }
}
