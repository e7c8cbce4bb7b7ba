/**
 * A value for each object of other code, as long as the object lives. The value is a property of its object: a `WeakMap`
 * costs the garbage collector more.
 */
export class Annotation<Of extends object, Value> {
  readonly #key: symbol = Symbol('logical-context.annotation')
  /** For objects that accept no property. */
  readonly #others = new WeakMap<Of, Value>()

  get(of: Of): Value | undefined {
    const own = (of as Record<symbol, Value | undefined>)[this.#key]
    return own === undefined ? this.#others.get(of) : own
  }

  set(of: Of, value: Value): void {
    if (Object.isExtensible(of)) (of as Record<symbol, Value | undefined>)[this.#key] = value
    else this.#others.set(of, value)
  }
}
