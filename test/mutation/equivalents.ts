/** Mutants that survive because no test could notice them, or should. */
export interface Equivalent {
  /** Default: any. */
  readonly file?: string
  /** The line of code, without its indentation. Default: wherever the change is possible. */
  readonly line?: string
  /** What a mutant changes, as `npm run mutate` prints it. */
  readonly changes: readonly string[]
  readonly why: string
}

export const equivalents: readonly Equivalent[] = [
  // context
  {
    file: 'src/context/logical-context.ts',
    changes: ['\'?\' → ""'],
    why: 'Every index has a name; the compiler cannot know.',
  },
  {
    file: 'src/context/logical-context.ts',
    changes: ['\'LogicalContext\' → ""'],
    line: "shareClass(LogicalContext, 'LogicalContext')",
    why: 'The mark is only to differ from those of the other classes, and does.',
  },
  {
    file: 'src/context/context-var.ts',
    changes: ['\'ContextVar\' → ""'],
    line: "shareClass(ContextVar, 'ContextVar')",
    why: 'The mark is only to differ from those of the other classes, and does.',
  },
  {
    file: 'src/context/shared-class.ts',
    changes: ['{ value: true } → {}', 'true → false'],
    line: 'Object.defineProperty(shared.prototype, mark, { value: true })',
    why: 'That the mark is there counts, not its value.',
  },
  {
    file: 'src/context/storage.ts',
    changes: ['throw new VersionMismatchError(layout, found.layout) → ;', 'found.layout !== layout → false'],
    why: 'storage.test.ts proves it in a process of its own, where no mutant is active.',
  },
  {
    file: 'src/context/storage.ts',
    changes: ['\'logical-context\' → ""', '\'root\' → ""'],
    why: 'A label for tools, and a key that is only to differ from the others.',
  },
  {
    file: 'src/context/storage.ts',
    changes: ['[] → ["Stryker was here"]'],
    line: 'names: [],',
    why: 'One place that no variable has: all indexes move with it.',
  },
  {
    file: 'src/context/values.ts',
    changes: ['index < values.length → true', 'index < values.length → index <= values.length'],
    line: 'if (index < near) return index < values.length ? values[index] : undefined',
    why: 'Beyond its end an array gives undefined too, only more slowly.',
  },
  {
    file: 'src/context/values.ts',
    changes: ['read(values, slot.index) === undefined → true'],
    why: 'addRuled looks itself whether it knows the variable; the read is the shorter way.',
  },
  {
    file: 'src/context/values.ts',
    changes: ['place < values.length → place <= values.length'],
    why: 'The place behind the last one is undefined in the copy too, which is longer.',
  },
  {
    file: 'src/context/values.ts',
    changes: ['{ next: undefined } → {}'],
    why: 'What is missing reads as undefined too.',
  },
  {
    file: 'src/context/values.ts',
    changes: ['!isPresent(raw) → false'],
    line: 'if (!isPresent(raw)) continue',
    why: 'What is not present reads the same where it is written down; only the array is longer.',
  },
  {
    file: 'src/context/values.ts',
    changes: ['index < values.length → index <= values.length'],
    line: 'for (let index = firstIndex; index < values.length; index++) {',
    why: 'The place behind the last one is undefined, and skipped.',
  },
  {
    file: 'src/context/values.ts',
    changes: ['[undefined, undefined] → []'],
    line: 'export const emptyValues: Values = [undefined, undefined]',
    why: 'Both read as undefined; the array has the shape of those that follow.',
  },
  {
    file: 'src/context/context-var.ts',
    changes: ["raw === undefined || typeof raw === 'symbol' → true"],
    why: 'The slow way gives the same.',
  },
  {
    file: 'src/context/context-var.ts',
    changes: ['cell !== undefined → true'],
    line: 'if (cell !== undefined && before !== undefined && !cell.sealed)',
    why: 'Without a cell there is no value before either; the compiler cannot know.',
  },
  {
    file: 'src/context/context-var.ts',
    changes: ['cell.unit?.late → cell.unit.late'],
    why: 'A cell is sealed by its unit, so it has one; the compiler cannot know.',
  },
  {
    file: 'src/context/generator.ts',
    changes: ['driver.unit !== layer.unit → true'],
    why: 'To adopt a layer once more at each step only makes a list longer: growth.test.ts.',
  },
  {
    file: 'src/context/blocks.ts',
    changes: [
      'earlier.length < this.#pruneAt → true',
      'earlier.length < this.#pruneAt → false',
      'earlier.length < this.#pruneAt → earlier.length <= this.#pruneAt',
      'earlier.length < this.#pruneAt → earlier.length >= this.#pruneAt',
      'earlier.filter((known) => known.deref() !== undefined) → earlier',
      'known.deref() !== undefined → true',
      'Math.max(listLength, 2 * this.#earlier.length) → Math.min(listLength, 2 * this.#earlier.length)',
      '2 * this.#earlier.length → 2 / this.#earlier.length',
    ],
    why: 'When empty lists are forgotten is a matter of memory and time: growth.test.ts, with a million blocks.',
  },
  {
    file: 'src/context/blocks.ts',
    changes: [
      'this.#latest.length === listLength → true',
      'this.#latest.length === listLength → this.#latest.length !== listLength',
    ],
    why: 'Lists of another length hold the same blocks; only what they cost differs.',
  },
  {
    file: 'src/context/blocks.ts',
    changes: ['[] → ["Stryker was here"]'],
    why: 'What is no block of the unit is passed over at the seal.',
  },
  {
    file: 'src/context/unit.ts',
    changes: ['[] → ["Stryker was here"]'],
    why: 'What is no block of the unit is passed over at the seal.',
  },
  {
    file: 'src/context/unit.ts',
    changes: ['this.cell?.sealed → this.cell.sealed', 'this.cell?.unit → this.cell.unit'],
    why: 'Who blocks are made for, and who ends, has a cell; the compiler cannot know.',
  },
  {
    file: 'src/context/unit.ts',
    changes: ['{ return undefined } → {}'],
    why: 'What gives nothing gives undefined.',
  },
  // tasks
  {
    changes: [
      'taskStart.hasSubscribers → true',
      'taskEnd.hasSubscribers → true',
      'taskSpawn.hasSubscribers → true',
      'taskAbandon.hasSubscribers → true',
      'taskRefuse.hasSubscribers → true',
      'scopeOpen.hasSubscribers → true',
      'scopeSeal.hasSubscribers → true',
      'contextLate.hasSubscribers → true',
    ],
    why: 'To publish to nobody does nothing; only the message is made for nothing.',
  },
  {
    file: 'src/tasks/policy.ts',
    changes: ["typeof value !== 'object' → false"],
    line: "if (typeof value !== 'object' || value === null) return false",
    why: 'What is no object has no list under `only` either, and is refused two lines below.',
  },
  {
    file: 'src/tasks/policy.ts',
    changes: ['isPresent(raw) → true'],
    line: 'if (isPresent(raw)) kept = put(kept, index, raw)',
    why: 'A place that is unset, or set and deleted, reads as one that is not there; it only makes the array longer.',
  },
  {
    file: 'src/tasks/task-cell.ts',
    changes: ["policy === 'share' && cell === storage.getStore() → false", '\'share\' → ""'],
    line: "if (policy === 'share' && cell === storage.getStore()) proceed(...args)",
    why: 'To enter the cell where one is already changes nothing but costs a frame.',
  },
  {
    file: 'src/tasks/task-cell.ts',
    changes: ["policy === 'share' → true", "policy === 'share' → policy !== 'share'"],
    line: "if (policy === 'share' && cell === storage.getStore()) proceed(...args)",
    why: 'A cell that is not shared is new, and so nowhere entered yet; to ask for the policy first is only cheaper.',
  },
  {
    file: 'src/tasks/task.ts',
    changes: ['\'Task\' → ""'],
    line: "shareClass(Task, 'Task')",
    why: 'The mark is only to differ from those of the other classes, and does.',
  },
  {
    file: 'src/tasks/task.ts',
    changes: ['!(source instanceof AbortSignal) → true'],
    why: 'A signal has no deadline and no request that one could ask it for.',
  },
  {
    file: 'src/tasks/task.ts',
    changes: ['held?.entry → held.entry', 'this.ticket?.withdraw → this.ticket.withdraw'],
    why: 'Who begins later is held, and who is withdrawn has a ticket; the compiler cannot know.',
  },
  {
    file: 'src/tasks/task-limits.ts',
    changes: ['unit?.name → unit.name'],
    why: 'Only what a unit has spawned counts against its limit; the compiler cannot know.',
  },
  {
    file: 'src/tasks/task-limits.ts',
    changes: [
      'this.#listOf(ticket)?.add → this.#listOf(ticket).add',
      'this.#listOf(ticket)?.delete → this.#listOf(ticket).delete',
      'share?.parked → share.parked',
    ],
    why: 'What waits is in a list, and what is parked has a share; the compiler cannot know.',
  },
  {
    file: 'src/tasks/task-limits.ts',
    changes: ['this.#maxPerRequest === Infinity → false'],
    why: 'No count reaches a limit that is not there; the count is only kept for nothing.',
  },
  {
    file: 'src/tasks/task-group.ts',
    changes: ['this.#limits?.enqueue → this.#limits.enqueue', 'this.#limits?.release → this.#limits.release'],
    why: 'Only limits give out tickets; the compiler cannot know.',
  },
  {
    file: 'src/tasks/task-group.ts',
    changes: ['\'TaskGroup\' → ""'],
    line: "shareClass(TaskGroup, 'TaskGroup')",
    why: 'The mark is only to differ from those of the other classes, and does.',
  },
  {
    file: 'src/tasks/task-id.ts',
    changes: ['\'taskIds\' → ""'],
    why: 'A key that is only to differ from the others.',
  },
  {
    file: 'src/tasks/structured-task-group.ts',
    changes: ['this.aborted → false'],
    line: 'if (this.aborted) return',
    why: 'The first reason stays in any case; only an error is made for nothing.',
  },
  {
    file: 'src/tasks/structured-task-group.ts',
    changes: ['{ error } → {}'],
    line: 'if (this.#scope.saysCancelled(error)) this.cutOff ??= { error }',
    why: 'The group is aborted there, and it is the reason for that which is thrown.',
  },
  {
    file: 'src/tasks/structured-task-group.ts',
    changes: ['{ error: undefined } → {}'],
    why: 'What is missing reads as undefined too.',
  },
  {
    file: 'src/tasks/structured-task-group.ts',
    changes: ['this.cutOff?.error → this.cutOff.error'],
    why: 'Who asks was cut off, by an abort of the group or of a task; the compiler cannot know.',
  },
  {
    file: 'src/tasks/gather.ts',
    changes: ['errors.length > 1 → errors.length >= 1'],
    why: 'A failure that is the only one was thrown in the line above.',
  },
  {
    file: 'src/tasks/race.ts',
    changes: ['task !== undefined → true', 'task?.name → task.name'],
    why: 'The body of a race only spawns, and cannot fail; the compiler cannot know.',
  },
  {
    file: 'src/tasks/cancel-scope.ts',
    changes: ['this.#parent?.expire → this.#parent.expire'],
    why: 'What expires and has no limit of its own has its parent’s; the compiler cannot know.',
  },
  {
    file: 'src/tasks/work-unit.ts',
    changes: ['this.canceller?.expire → this.canceller.expire'],
    why: 'What a task’s deadline is over for has it from its canceller; the compiler cannot know.',
  },
  {
    file: 'src/tasks/work-unit.ts',
    changes: ['{ return this.#cancellation?.reason } → {}', 'this.#cancellation?.reason → this.#cancellation.reason'],
    why: 'Only a bridge asks: test/bridges/opentelemetry/request-failures.test.ts notices.',
  },
  {
    file: 'src/tasks/cancellation.ts',
    changes: ['{ once: true } → {}', 'true → false'],
    line: "signal.addEventListener('abort', () => abortAll(targets, signal.reason), { once: true })",
    why: 'A signal aborts once.',
  },
  {
    file: 'src/tasks/sleep.ts',
    changes: ['{ once: true } → {}', 'true → false'],
    line: "signal?.addEventListener('abort', onAbort, { once: true })",
    why: 'A signal aborts once, and the listener is taken away at the end.',
  },
  {
    file: 'src/tasks/sleep.ts',
    changes: ['signal?.reason → signal.reason'],
    why: 'Only a signal calls its listener; the compiler cannot know.',
  },
  {
    file: 'src/tasks/lazy-deadline.ts',
    changes: ['at >= this.at → at > this.at'],
    why: 'The same time once more only sets the timer anew.',
  },
  {
    file: 'src/tasks/narrowed-cell.ts',
    changes: ['{ return this.base.memo } → {}', '{ this.base.memo = memo } → {}'],
    why: 'What a logger’s bridge does not find there it makes anew; that only costs.',
  },
  {
    file: 'src/tasks/narrowed-cell.ts',
    changes: ['{ return this.base.siblings } → {}', '{ this.base.seal() } → {}', 'this.base.seal() → ;'],
    why: 'Asked only of the cells that a unit seals, which are never narrowed: the shape of a cell is to be whole.',
  },
  {
    file: 'src/tasks/narrowed-cell.ts',
    changes: ['this.base.driver === undefined → false'],
    why: 'A cell that has a driver is read the long way; of one that has none that gives the same.',
  },
  {
    file: 'src/tasks/narrowed-cell.ts',
    changes: ['scope !== undefined → true'],
    line: 'if (scope !== undefined) scopesOfBlocks.set(block, scope)',
    why: 'No scope that is written down reads as one that is not.',
  },
  {
    file: 'src/tasks/request-scope.ts',
    changes: ['{ return this.#closed } → {}'],
    why: 'Only a middleware asks: test/middleware/fastify-end.test.ts notices.',
  },
  {
    file: 'src/tasks/request-scope.ts',
    changes: ['scope.observation === undefined → false'],
    line: 'if (scope.observation === undefined) return scope.hold(fn(...args))',
    why: 'Where nobody is told of a failure the long way does the same.',
  },
  {
    file: 'src/tasks/late-use.ts',
    changes: ['\'late use\' → ""'],
    why: 'Only the frames of its stack are read.',
  },
  {
    file: 'src/tasks/late-use.ts',
    changes: ['\'lateUse\' → ""'],
    why: 'A key that is only to differ from the others.',
  },
  {
    file: 'src/tasks/late-use.ts',
    changes: ['() => new LateUseWatch() → () => undefined'],
    why: 'Made once per process, most often before the mutant is active.',
  },
  {
    file: 'src/tasks/run-in-scope.ts',
    changes: ['\'backgroundGroup\' → ""'],
    why: 'A key that is only to differ from the others.',
  },
  {
    file: 'src/tasks/run-in-scope.ts',
    changes: ["{ name: 'background' } → {}"],
    why: 'Made once per process, most often before the mutant is active.',
  },
  {
    file: 'src/tasks/unit-observer.ts',
    changes: ['\'unitObserver\' → ""', '{ current: undefined } → {}'],
    why: 'A key that is only to differ from the others, and what is missing reads as undefined too.',
  },
  {
    file: 'src/tasks/lifecycle.ts',
    changes: ['\'inbound:refuse\' → ""'],
    why: 'Only a middleware publishes there: test/canary/canary.test.ts notices.',
  },
  // propagators
  {
    file: 'src/propagators/propagator.ts',
    changes: ['{ return undefined } → {}'],
    why: 'A function without a return gives undefined too.',
  },
  {
    file: 'src/variables/header-text.ts',
    changes: ['i < text.length → i <= text.length'],
    why: 'Behind the end of a text there is NaN, which is neither below nor above anything.',
  },
  {
    file: 'src/propagators/carrier.ts',
    changes: ['key === name → false', 'key.length === name.length → true'],
    line: 'return key === name || (key.length === name.length && key.toLowerCase() === name)',
    why: 'Both are only shorter ways to the same answer.',
  },
  {
    file: 'src/variables/hex.ts',
    changes: ['high === notHex → false'],
    why: 'A first digit that is none makes more than 255 by itself.',
  },
  {
    file: 'src/propagators/baggage-members.ts',
    changes: ['\'Only a string goes out without an encode().\' → ""'],
    why: 'attempt() catches it; the words are for who reads the code.',
  },
  {
    file: 'src/propagators/baggage-members.ts',
    changes: ['after < end → true', 'after < end → after <= end'],
    why: 'At the end of a member there is a comma or nothing, and no key has a comma in it.',
  },
  {
    file: 'src/propagators/w3c-baggage.ts',
    changes: ['[] → ["Stryker was here"]'],
    line: 'if (declared.list.length === 0 && text.length <= maxBaggageBytes) return { found: [], others: Baggage.parse(text) }',
    why: 'What is no place is neither the first nor the only one of a member, and passed over.',
  },
  {
    file: 'src/propagators/w3c-baggage.ts',
    changes: ['count === 0 → true'],
    why: 'The slow way finds the same in a plain text.',
  },
  {
    file: 'src/propagators/w3c-baggage.ts',
    changes: ['destination.values === false → false'],
    why: 'mayTell() says no to each member and to the others too.',
  },
  {
    file: 'src/propagators/jaeger.ts',
    changes: ['\'\' → "Stryker was here!"'],
    line: "const [trace = '', span = '', parent = '', flags = ''] = parts",
    why: 'There are four parts, or the text was refused; the compiler cannot know.',
  },
  {
    file: 'src/propagators/jaeger.ts',
    changes: ['text.length > maxLength → false'],
    why: 'A longer text has a number that is too long, and is refused below, only more slowly.',
  },
  {
    file: 'src/propagators/from-text-map-propagator.ts',
    changes: ['trace === undefined → false'],
    line: 'if (trace === undefined || !destination.trace) return',
    why: 'Where there is no trace the span for it cannot be made, and attempt() makes nothing of that.',
  },
  {
    file: 'src/propagators/w3c-trace-context.ts',
    changes: ["text === '' → false", '\'\' → "Stryker was here!"'],
    line: "if (text === undefined || text === '') return adoptTrace(context, caller, peer, parentField)",
    why: 'An empty text is parsed to the empty state, which a trace has without one too.',
  },
  {
    file: 'src/propagators/w3c-trace-context.ts',
    changes: ['text.length < parentLength → false'],
    why: 'A shorter text has no two digits of flags at their place, and is refused for that.',
  },
  {
    file: 'src/propagators/w3c-trace-context.ts',
    changes: ['trace.state === Tracestate.empty → false'],
    why: 'An empty state has no text and no problem; that nobody need ask for them is only quicker.',
  },
  {
    file: 'src/propagators/b3.ts',
    changes: ['\'single\' → ""'],
    line: "const { inject = 'single' } = options ?? {}",
    why: 'Whatever is not multi is single.',
  },
  {
    file: 'src/propagators/b3.ts',
    changes: ['\'\' → "Stryker was here!"'],
    line: "if (trimOws(carrier.get(flagsField) ?? '') === '1') return 'debug'",
    why: 'Any text that is not 1 does.',
  },
  {
    file: 'src/propagators/b3.ts',
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
