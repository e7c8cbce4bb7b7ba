/** What is mutated, and the tests that are to notice: those that mirror the room, and the rules. */
export interface Room {
  readonly mutate: readonly string[]
  readonly tests: readonly string[]
}

const rules = ['test/flow/rules.test.ts', 'test/flow/pep-550.test.ts', 'test/outside/*.test.ts']

export const rooms: Readonly<Record<string, Room>> = {
  context: { mutate: ['src/context/**/*.ts'], tests: ['test/context/**/*.test.ts', ...rules] },
  // The policies and what applies them; groups, limits, drain and cancellation are other matters.
  tasks: {
    mutate: ['policy', 'task-cell', 'spawn', 'spawn-options', 'unit-settings', 'task'].map(
      (name) => `src/tasks/${name}.ts`,
    ),
    tests: ['policy', 'spawn', 'task', 'task-group', 'lifecycle', 'cancellation', 'retention']
      .map((name) => `test/tasks/${name}.test.ts`)
      .concat(rules, 'test/tasks/task-limits.test.ts'),
  },
  propagators: {
    mutate: ['src/propagators/**/*.ts'],
    tests: ['test/propagators/!(contract).test.ts', 'test/propagators/contract.test.ts'],
  },
}

/** Tests that take long and find what others find too. */
export const leftOut: readonly string[] = ['test/propagators/hostile-input.test.ts']

/** The room that is being mutated; scripts/mutate.ts says which. */
export const room: Room = rooms[process.env['MUTATION_ROOM'] ?? ''] ?? { mutate: [], tests: [] }
