/** The mutated files, and the tests that must notice: the tests of the room, and the rules. */
export interface Room {
  readonly mutate: readonly string[]
  readonly tests: readonly string[]
  /** The time limit of a test, in milliseconds. Default: a minute. */
  readonly testTimeoutMs?: number
}

const rules = ['test/outside/*.test.ts']

export const rooms: Readonly<Record<string, Room>> = {
  context: { mutate: ['src/context/**/*.ts'], tests: ['test/context/**/*.test.ts', ...rules] },
  tasks: {
    mutate: ['src/tasks/**/*.ts'],
    // The measurement of memory takes a second, so it is last: most mutants are killed earlier.
    tests: [
      'test/tasks/!(retention).test.ts',
      'test/clients/call-context.test.ts',
      ...rules,
      'test/tasks/retention.test.ts',
    ],
    // A broken task often never ends. A test that ends takes less than half of this.
    testTimeoutMs: 5_000,
  },
  propagators: {
    mutate: ['src/propagators/**/*.ts'],
    tests: ['test/propagators/!(contract).test.ts', 'test/propagators/contract.test.ts'],
  },
}

/** Slow tests that find nothing that other tests do not find. */
export const leftOut: readonly string[] = [
  'test/propagators/hostile-input.test.ts',
  'test/tasks/depth.test.ts',
  'test/tasks/nesting.test.ts',
  'test/tasks/scheduler.test.ts',
]

/** The mutated room. scripts/mutate.ts sets it. */
export const room: Room = rooms[process.env['MUTATION_ROOM'] ?? ''] ?? { mutate: [], tests: [] }
