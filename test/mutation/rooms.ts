/** What is mutated, and the tests that are to notice: those that mirror the room, and the rules. */
export interface Room {
  readonly mutate: readonly string[]
  readonly tests: readonly string[]
  /** When a test has waited for ever, in milliseconds. Default: a minute. */
  readonly testTimeoutMs?: number
}

const rules = ['test/flow/rules.test.ts', 'test/flow/pep-550.test.ts', 'test/outside/*.test.ts']

export const rooms: Readonly<Record<string, Room>> = {
  context: { mutate: ['src/context/**/*.ts'], tests: ['test/context/**/*.test.ts', ...rules] },
  tasks: {
    mutate: ['src/tasks/**/*.ts'],
    // Memory is measured last: that takes a second, and most mutants are dead by then.
    tests: [
      'test/tasks/!(retention).test.ts',
      'test/clients/call-context.test.ts',
      ...rules,
      'test/tasks/retention.test.ts',
    ],
    // What is broken here often never ends, and nothing that ends takes half of it.
    testTimeoutMs: 5_000,
  },
  propagators: {
    mutate: ['src/propagators/**/*.ts'],
    tests: ['test/propagators/!(contract).test.ts', 'test/propagators/contract.test.ts'],
  },
}

/** Tests that take long and find what others find too. */
export const leftOut: readonly string[] = [
  'test/propagators/hostile-input.test.ts',
  'test/tasks/nesting.test.ts',
  'test/tasks/scheduler.test.ts',
]

/** The room that is being mutated; scripts/mutate.ts says which. */
export const room: Room = rooms[process.env['MUTATION_ROOM'] ?? ''] ?? { mutate: [], tests: [] }
