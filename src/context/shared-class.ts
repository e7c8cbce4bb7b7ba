type Class = abstract new (...args: never[]) => object

/**
 * Lets `instanceof` hold for the objects of all copies of the package in one process, each of which has a class of its
 * own. For a subclass `instanceof` stays what it is.
 */
export function shareClass(shared: Class, name: string): void {
  const mark = Symbol.for(`logical-context.${name}`)
  Object.defineProperty(shared.prototype, mark, { value: true })
  Object.defineProperty(shared, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      if (this !== shared) return Function.prototype[Symbol.hasInstance].call(this, value)
      return typeof value === 'object' && value !== null && mark in value
    },
  })
}
