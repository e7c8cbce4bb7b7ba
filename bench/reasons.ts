/** Why a row misses a target, and what was tried, by the row's name. The page shows the reason of a row that misses one. */
export const reasons: Readonly<Record<string, string>> = {
  get: 'The floor reads a fixed index. A variable reads its own index, and must distinguish a value from "never set". Tried and kept: one place per variable in the array; any symbol takes the slow way, which saves a comparison.',
  set: 'A write checks whether the unit ended and whether a snapshot of the values exists, and drops what was derived from them. The faster peer writes into a shared object.',
  'growth-variables':
    'Up to 32 variables a write copies an array. With more variables it goes through a tree: more expensive at that point, and constant from there on.',
  'growth-pending':
    'The collector traverses a heap with this many young tasks during some batches, also during batches of the floor. Tried and kept: a linked list instead of a Set, which became slower with each past task (see the decision).',
  scope:
    'A scope owns tasks, can be cancelled and is sealed. This needs an object, a cell, and the clearing of the cell at the end, in addition to `run`. On Node 22 `run` is so cheap that any scope with an end is far from the floor. Tried and kept: no closure at the entry, no read of the environment, a shorter way without options, a way back into other contexts only when needed.',
  ...forks(
    'A block is a cell in a list of its unit, so that the seal reaches its values too. An object spread is in no list, and lives as long as any object that refers to it. The unit refers to its blocks weakly, in lists. A weak reference keeps its target until the end of the job, and the benchmark is one job. Without that list, a block costs as much as the spread; with lists of 256 instead of 32, as much as now. The cost does not depend on the number of variables.',
  ),
  'spawn-inherit':
    'A task has an owner, a number, a counted end, and a signal that is made at its first read. These objects are the difference to the floor.',
  'spawn-isolate':
    'The floor runs in the one root context. A task needs its own cell: without it, an isolated task would see the writes of another one. `AsyncLocalStorage.run` enters a cell; it copies a frame on Node 24 and 26, which costs more than the rest of the floor. Tried and kept: leaving and entering in one call without a closure. Tried and dropped: reuse of cells, because a timer of the previous task would read the values of the next one.',
  ...hops(
    'The floor reads each character once and copies the text. Here the parts become values: a trace, an immutable context, a member that its codec decoded; and a list with a duplicate key is not sent. Tried and kept: each character is read once, from a flat text (V8 reads a sliced one much more slowly); an unchanged header is sent as it came; ids are made when they are sent. For the trace alone and for B3, five times as fast as OpenTelemetry would be faster than the floor.',
  ),
  'span-id': 'The floor uses the same pool. The difference is a check that the id is not zero.',
  'trace-id': 'The floor uses the same pool. The difference is a check that the id is not zero.',
  'log-line':
    'The fields are text before the line is written, like those of a static child. The difference is the lookup of the unit, and of further fields of the line, its logger or a span.',
  awaits: 'The awaits cost as much as in one `als.run`. The difference is the opening and the seal of the scope.',
  ...servers(
    'The floor is one line. Here each request has an id and a unit with an end: the events of its request and response run in its context, the seal and the close wait for its handler and its reply, trust is decided, and its id is in the reply and on its log lines. Profiles show the cost in about thirty functions; none dominates. Tried and kept: one `emit` for all requests and one listener for all replies instead of closures, lists and counters instead of Sets and weak maps (see the decision), pooled ids, log fields as text, arrays of fixed length, no turn of the event loop at the end of a request, an origin that is parsed once, headers that are copied once, and only the hooks that a server needs.',
  ),
  ...heaps(
    'A request holds its scope, its cell and values, its id, name and trace, the state of its connection and peer, the listening `emit` of two objects, the wait for its handler, and the snapshot of its contexts. A task holds the same without the request. Where Node has AsyncContextFrame, the frame of any `als.run` takes more than half of the allowed bytes; on Node 22 each promise refers to the contexts. Tried and kept: values without spare room, also after the end; one list of rules for all requests that set the same variables; requests, tasks and connections as their own list links; bound functions instead of closures; no list of replies, no weak maps; fields that most units never use are made at their first use. Tried and dropped: a replaced `emit` instead of a listener on each connection (128 B less, but each WebSocket event would pay); one pair of handlers for all tasks (96 B less, but a shared task has no context of its own, so both ways would be needed).',
  ),
}

function forks(reason: string): Record<string, string> {
  return same(['fork-5', 'fork-10', 'fork-50'], reason)
}

function hops(reason: string): Record<string, string> {
  return same(['traceparent', 'tracestate', 'baggage-3', 'baggage-10', 'b3', 'all-formats'], reason)
}

function servers(reason: string): Record<string, string> {
  return same(
    ['fastify-hello', 'fastify-full', 'fastify-logging', 'fastify-spawn', 'fastify-undici', 'fastify-fetch'],
    reason,
  )
}

function heaps(reason: string): Record<string, string> {
  return same(['memory-in-flight', 'memory-idle', 'memory-tasks-10000', 'memory-tasks-100000'], reason)
}

function same(rows: readonly string[], reason: string): Record<string, string> {
  return Object.fromEntries(rows.map((row) => [row, reason]))
}
