import type { OutgoingCarrier } from './outbound.ts'

/** Headers in all forms that undici takes: an object, names and values in turn in one array, pairs. */
export type UndiciHeaders = object | null | undefined

/** A copy of a request's headers that can be written to: an object for an object, else one array. */
export class UndiciCarrier implements OutgoingCarrier {
  readonly headers: Record<string, unknown> | unknown[]

  constructor(headers: UndiciHeaders) {
    this.headers = isIterable(headers) ? inTurn([...headers]) : { ...headers }
  }

  get(name: string): string | undefined {
    const value = this.#entries().find(([known]) => String(known).toLowerCase() === name)?.[1]
    return value === undefined ? undefined : String(value)
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  set(name: string, value: string): void {
    if (Array.isArray(this.headers)) this.headers.push(name, value)
    else this.headers[name] = value
  }

  #entries(): [name: unknown, value: unknown][] {
    const { headers } = this
    if (!Array.isArray(headers)) return Object.entries(headers)
    return headers.flatMap((name: unknown, i) => (i % 2 === 0 ? [[name, headers[i + 1]]] : []))
  }
}

function isIterable(headers: UndiciHeaders): headers is Iterable<unknown> {
  return headers !== null && headers !== undefined && Symbol.iterator in headers
}

/** Pairs, or what is an array of names and values already. */
function inTurn(list: unknown[]): unknown[] {
  return Array.isArray(list[0]) ? list.flat(1) : list
}
