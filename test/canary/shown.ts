import { inspect } from 'node:util'

/** The texts that programs and tools show for a value. */
export function shown(value: unknown): string[] {
  const texts = [
    inspect(value, { depth: 5 }),
    inspect(value, { depth: 4, showHidden: true, getters: true }),
    // `console.dir` with this option ignores the form that an object chooses, and so do assertion messages.
    inspect(value, { depth: 5, customInspect: false }),
  ]
  try {
    texts.push(String(value))
  } catch {
    // An object without a text.
  }
  try {
    texts.push(JSON.stringify(value, withoutCycles()) ?? '')
  } catch {
    // A getter can throw.
  }
  return texts
}

/** Like loggers write an object that refers to itself. */
function withoutCycles(): (key: string, value: unknown) => unknown {
  const seen = new Set<unknown>()
  return (_key, value) => {
    if (typeof value !== 'object' || value === null) return typeof value === 'bigint' ? String(value) : value
    if (seen.has(value)) return '[seen]'
    seen.add(value)
    return value
  }
}
