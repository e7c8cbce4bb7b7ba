import { visitMembers } from '../variables/baggage-grammar.ts'
import { trimOws } from '../variables/ows.ts'
import type { DeclaredMember } from './baggage-member.ts'

const equalsSign = 0x3d

/** Gives the declared member that stands between two places of a text; undefined for another one. */
export type Finder = (start: number, end: number) => DeclaredMember | undefined

/** The members of `baggage` that are variables, and where they are in a header. */
export class DeclaredMembers {
  readonly list: readonly DeclaredMember[]
  readonly #byKey: ReadonlyMap<string, DeclaredMember>

  constructor(list: readonly DeclaredMember[]) {
    this.list = list
    this.#byKey = new Map(list.map((member) => [member.key, member]))
  }

  has(key: string): boolean {
    return this.#byKey.has(key)
  }

  /** Whether one of them is in a list that keeps to the grammar and the limits. */
  areIn(list: string): boolean {
    if (this.list.length === 0) return false
    const find = this.finderIn(list)
    let found = false
    visitMembers(list, (start, end) => {
      found ||= find(start, end) !== undefined
    })
    return found
  }

  /** Keys are compared where they stand, unless there may be whitespace around them. */
  finderIn(text: string): Finder {
    if (text.includes(' ') || text.includes('\t')) return (start, end) => this.#byKey.get(keyAt(text, start, end))
    return (start, end) => this.list.find(({ key }) => isKeyAt(text, start, end, key))
  }
}

function keyAt(text: string, start: number, end: number): string {
  let equals = start
  while (equals < end && text.charCodeAt(equals) !== equalsSign) equals++
  return trimOws(text, start, equals)
}

function isKeyAt(text: string, start: number, end: number, key: string): boolean {
  const after = start + key.length
  if (after > end || (after < end && text.charCodeAt(after) !== equalsSign)) return false
  return text.startsWith(key, start)
}
