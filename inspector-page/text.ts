/** A time in at most five characters and its unit. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  return ms < 100_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`
}

const colors = 8
const known = new Map<string, number>()

/** The class of a service's color: the services get the colors in the order in which they appear. */
export function colorOf(service: string): string {
  const color = known.get(service) ?? known.size % colors
  known.set(service, color)
  return `color-${color}`
}
