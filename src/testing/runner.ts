/** The functions of a test runner: those of vitest, jest, `node:test`, or any other with this shape. */
export interface TestRunner {
  describe(name: string, body: () => void): unknown
  it(name: string, body: () => Promise<void>): unknown
  /** With `node:test`: `(actual) => ({ toEqual: (expected) => assert.deepEqual(actual, expected) })`. */
  expect(actual: unknown): Assertion
}

/** The one matcher that the contract suites use. They compare plain objects, arrays and primitives only. */
export interface Assertion {
  toEqual(expected: unknown): unknown
}
