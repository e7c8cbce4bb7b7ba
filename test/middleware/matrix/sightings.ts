import type { Place } from './places.ts'

/**
 * What was seen at a place: the value of the request that the place belongs to; nothing; or the value of another request,
 * which is what must never be.
 */
export type Sighting = 'kept' | 'lost' | 'crossed'

/** The request that is looked at, and the one that was on the same connection before it. */
export type Caller = 'ann' | 'bob'

const worst: readonly Sighting[] = ['kept', 'lost', 'crossed']

/** What was seen where, of one request after another on one server. */
export class Sightings<P extends string = Place> {
  readonly #seen = new Map<string, Sighting>()
  readonly #waiting = new Map<string, PromiseWithResolvers<void>>()

  /** Of several looks at one place the worst counts. */
  see(caller: Caller, place: P, value: string | undefined): void {
    const key = keyOf(caller, place)
    const sighting = value === caller ? 'kept' : value === undefined ? 'lost' : 'crossed'
    const known = this.#seen.get(key) ?? 'kept'
    this.#seen.set(key, worst.indexOf(sighting) > worst.indexOf(known) ? sighting : known)
    this.#waiter(key).resolve()
  }

  /** Resolves when a place has been looked at. */
  reached(place: P, caller: Caller = 'ann'): Promise<void> {
    return this.#waiter(keyOf(caller, place)).promise
  }

  /** What was seen of a request. */
  of(caller: Caller): Partial<Record<P, Sighting>> {
    const prefix = `${caller} `
    const own = [...this.#seen].filter(([key]) => key.startsWith(prefix))
    const seen = own.map(([key, sighting]) => [key.slice(prefix.length), sighting] as const)
    return Object.fromEntries(seen) as Partial<Record<P, Sighting>>
  }

  #waiter(key: string): PromiseWithResolvers<void> {
    const known = this.#waiting.get(key) ?? Promise.withResolvers<void>()
    this.#waiting.set(key, known)
    return known
  }
}

function keyOf(caller: Caller, place: string): string {
  return `${caller} ${place}`
}
