/** Mutants that survive because no test could notice them, or should. */
export interface Equivalent {
  readonly file: string
  /** The line of code, without its indentation. Default: wherever the change is possible. */
  readonly line?: string
  /** What a mutant changes, as `npm run mutate` prints it. */
  readonly changes: readonly string[]
  readonly why: string
}

export const equivalents: readonly Equivalent[] = [
  {
    file: 'src/tasks/policy.ts',
    changes: ["typeof value !== 'object' → false"],
    line: "if (typeof value !== 'object' || value === null) return false",
    why: 'What is no object has no list under `only` either, and is refused two lines below.',
  },
  {
    file: 'src/tasks/policy.ts',
    changes: ['isPresent(raw) → true'],
    line: 'if (isPresent(raw)) put(kept, index, raw)',
    why: 'A place that is unset, or set and deleted, reads as one that is not there; it only makes the array longer.',
  },
  {
    file: 'src/tasks/task-cell.ts',
    changes: ['cell === storage.getStore() → false'],
    why: 'To enter the cell where one is already changes nothing but costs a frame.',
  },
  {
    file: 'src/propagators/b3-grammar.ts',
    changes: ['sampling === undefined → false'],
    line: 'if (sampling === undefined || text.length === start + 2) return sampling',
    why: 'An unknown state ends in undefined on the next line too.',
  },
  {
    file: 'src/propagators/b3.ts',
    changes: ['\'\' → "Stryker was here!"'],
    line: "const found = callerOf(trimOws(traceId ?? ''), trimOws(spanId ?? ''), sampling)",
    why: 'Any text that is no id does.',
  },
]
