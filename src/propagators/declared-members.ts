import type { Baggage } from '../variables/baggage.ts'
import { trimOws } from '../variables/ows.ts'
import type { DeclaredMember } from './baggage-member.ts'

const equalsSign = 0x3d

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

  /** Whether one of them is in a list. */
  areIn(list: Baggage): boolean {
    return !list.isWithout(this) && list.members.some(({ key }) => this.has(key))
  }

  /** The one whose key stands between two places of a text, with nothing around it. */
  keyAt(text: string, start: number, end: number): DeclaredMember | undefined {
    for (const member of this.list) if (isKeyAt(text, start, end, member.key)) return member
    return undefined
  }

  /** The one whose key stands there, maybe with whitespace around it. */
  nameAt(text: string, start: number, end: number): DeclaredMember | undefined {
    let equals = start
    while (equals < end && text.charCodeAt(equals) !== equalsSign) equals++
    return this.#byKey.get(trimOws(text, start, equals))
  }
}

function isKeyAt(text: string, start: number, end: number, key: string): boolean {
  const after = start + key.length
  return after < end && text.charCodeAt(after) === equalsSign && text.startsWith(key, start)
}
