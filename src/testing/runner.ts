import { anyOf, checkArgument, isFunction } from '../options.ts'

/** The functions of a test runner: those of vitest, jest, `node:test`, or any other with this shape. */
export interface TestRunner {
  describe(name: string, body: () => void): unknown
  it(name: string, body: () => Promise<void>): unknown
  /** With `node:test`: `(actual) => ({ toEqual: (expected) => assert.deepEqual(actual, expected) })`. */
  expect(actual: unknown): Assertion
}

const aRunner = anyOf('the functions of a test runner, { describe, it, expect }', (value) => {
  const { describe, it, expect } = Object(value) as Partial<TestRunner>
  return [describe, it, expect].every(isFunction)
})

/** @throws {TypeError} if it does not have the functions. */
export function checkRunner(owner: string, runner: unknown): void {
  checkArgument(owner, aRunner, runner)
}

/** The one matcher that the contract suites use. They compare plain objects, arrays and primitives only. */
export interface Assertion {
  toEqual(expected: unknown): unknown
}
