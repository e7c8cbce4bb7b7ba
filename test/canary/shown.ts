import { inspect } from 'node:util'

/** An object, shown in all ways in which a program or a tool shows one. */
export function shown(value: unknown): string[] {
  const texts = [inspect(value, { depth: 5 }), inspect(value, { depth: 4, showHidden: true, getters: true })]
  try {
    texts.push(String(value))
  } catch {
    // What has no text shows none.
  }
  try {
    texts.push(JSON.stringify(value, withoutCycles()) ?? '')
  } catch {
    // A getter may throw.
  }
  return texts
}

/** As loggers write what refers to itself. */
function withoutCycles(): (key: string, value: unknown) => unknown {
  const seen = new Set<unknown>()
  return (_key, value) => {
    if (typeof value !== 'object' || value === null) return typeof value === 'bigint' ? String(value) : value
    if (seen.has(value)) return '[seen]'
    seen.add(value)
    return value
  }
}
