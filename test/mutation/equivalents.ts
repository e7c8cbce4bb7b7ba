/**
 * Why a mutant of a function may survive: no test can notice it, or no test should. By file of `src`, then by function as
 * `functionAt` names it. Before a survivor is accepted for the reason given here, read it.
 */
export const equivalents: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'context/logical-context.ts': {
    'LogicalContext.#entries': 'Every index has a name; only the compiler does not know.',
  },
  'context/storage.ts': {
    captureSnapshot: 'The type of an AsyncResource is a label for tools.',
    openRegistry: 'storage.test.ts tests it in another process, where no mutant is active.',
    root: 'A label for tools.',
  },
  'context/values.ts': {
    addRuled: 'A missing property is also read as undefined.',
    emptyValues: 'A missing element is also read as undefined.',
    entriesOf: 'The element after the last one is undefined and skipped.',
    noRuled: 'A missing property is also read as undefined.',
    read: 'An element after the end is undefined too; the check is only faster.',
    survivorsOf: 'A copied absent value reads as absent; the array is only longer.',
    withRoom: 'The element after the last one is undefined in the copy too.',
    write: 'addRuled checks again whether the variable is known.',
  },
  'propagators/b3.ts': {
    b3: 'Every value except "multi" means "single".',
    parseTail: 'An unknown state returns undefined on the next line too.',
    readSampling: 'Every text except "1" has the same effect.',
  },
  'propagators/baggage-members.ts': { isKeyAt: 'After a member there is a comma or the end, and no key has a comma.' },
  'propagators/carrier.ts': { isName: 'Both checks are only faster ways to the same answer.' },
  'propagators/jaeger.ts': { parse: 'The parts are checked below; a long text is only refused later.' },
  'propagators/propagator.ts': { attempt: 'A function without a return returns undefined too.' },
  'propagators/w3c-baggage.ts': {
    split: 'The slow way finds the same members in a plain text.',
    w3cBaggage: 'mayInject() refuses each member, and the other members too.',
  },
  'propagators/w3c-trace-context.ts': {
    format: 'An empty state has no text; the check is only faster.',
    parseTraceparent: 'A shorter text has no flags, and is refused for that.',
  },
  'tasks/cancel-scope.ts': { 'CancelScope.expire': 'A scope without its own limit has one from its parent.' },
  'tasks/gather.ts': { gather: 'A single failure is thrown on the line above.' },
  'tasks/late-use.ts': {
    findCallSite: 'Only the frames of the stack are read, not its message.',
    lateUseByDefault: 'It is made once per process, usually before the mutant is active.',
  },
  'tasks/lifecycle.ts': { inboundRefuse: 'Only a middleware publishes there: test/canary/canary.test.ts notices.' },
  'tasks/policy.ts': {
    aPolicy: 'A value that is not an object has no list "only", and is refused two lines below.',
    cross: 'A copied absent value reads as absent; the array is only longer.',
    enterCell: 'Entering the current cell again only costs time.',
  },
  'tasks/race.ts': { race: 'The body of a race only spawns, and cannot fail.' },
  'tasks/structured-task-group.ts': {
    'StructuredTaskGroup.cancel': 'The first reason stays; only an unused error is made.',
    'StructuredTaskGroup.ended': 'A missing property is also read as undefined.',
  },
  'tasks/task-group.ts': {
    'TaskGroup.ended': 'Only limits create tickets.',
    'TaskGroup.spawn': 'Only limits create tickets.',
  },
  'tasks/task-limits.ts': {
    'Limits.#listOf': 'A waiting task is in a list, and one that waits for its request has a share.',
    'Limits.#shareOf': 'No count reaches an infinite limit; only the count is kept for nothing.',
    'Limits.describe': 'Only a unit’s tasks count against the limit of a request.',
    'Limits.release': 'A waiting task is in a list.',
  },
  'tasks/task.ts': {
    'Task.#withdraw': 'A withdrawn task has a ticket.',
    'Task.begin': 'A task that begins later is deferred.',
  },
  'variables/header-text.ts': { isFieldValue: 'charCodeAt after the end returns NaN, which passes no comparison.' },
}
