/** Why a row misses a target, and what was tried, by the row's name. The page shows the reason of a row that misses one. */
export const reasons: Readonly<Record<string, string>> = {
  get: 'The floor reads a fixed index. A variable reads its own index, and must distinguish a value from "never set". Tried and kept: one place per variable in the array; any symbol takes the slow way, which saves a comparison.',
  set: 'A write checks whether the unit ended and whether a snapshot of the values exists, and drops what was derived from them. The faster peer writes into a shared object.',
  scope:
    'A scope owns tasks, can be cancelled and is sealed. This needs an object, a cell, and the clearing of the cell at the end, in addition to `run`. On Node 22 `run` is so cheap that any scope with an end is far from the floor. Tried and kept: no closure at the entry, no read of the environment, a shorter way without options, a way back into other contexts only when needed.',
  ...same(
    ['fork-5', 'fork-10', 'fork-50'],
    'A block is a cell in a list of its unit, so that the seal reaches its values too. An object spread is in no list, and lives as long as any object that refers to it. The unit refers to its blocks weakly, in lists. A weak reference keeps its target until the end of the job, and the benchmark is one job. Without that list, a block costs as much as the spread; with lists of 256 instead of 32, as much as now. The cost does not depend on the number of variables.',
  ),
  'spawn-inherit':
    'A task has an owner, a number, a counted end, and a signal that is made at its first read. These objects are the difference to the floor.',
  'spawn-isolate':
    'The floor runs in the one root context. A task needs its own cell: without it, an isolated task would see the writes of another one. `AsyncLocalStorage.run` enters a cell; it copies a frame on Node 24 and 26, which costs more than the rest of the floor. Tried and kept: leaving and entering in one call without a closure. Tried and dropped: reuse of cells, because a timer of the previous task would read the values of the next one.',
  'baggage-3':
    'Each part becomes a value: a trace, an immutable context, a member that its codec decoded; and a list with a duplicate key is not sent. Tried and kept: each character is read once, from a flat text (V8 reads a sliced one much more slowly); an unchanged header is sent as it came; ids are made when they are sent.',
  ...same(
    ['otel-task', 'otel-scope'],
    'The floor makes one span by hand, in no unit. Here the unit has an owner and an end besides its span, and the span has attributes, a status, and a parent or a link by the policy.',
  ),
  'import-index':
    'Most of the time is that of V8, which compiles two files, and of Node, which finds and reads them. Tried and kept: one file for each subpath, no comments in the built files, no import of `node:util` (see the decision). Minified names would save a part of the rest, and make stack traces unreadable.',
  'import-plugin':
    'Most of the time is that of V8, which compiles four files. Tried and kept: the same as for the import of the package; no module of Node that a server loads in any case; no package besides (the first CommonJS module that an ES module imports costs Node 22 tens of milliseconds).',
  'request-import':
    'The import runs no code in a request. The difference is within the error of the measurement, as the side "once more" shows. Before the harness kept a shape for V8 (see the row of `process.nextTick`), two equal sides differed by half.',
  ...same(
    ['request-hello', 'server-node-http', 'server-express', 'server-koa', 'server-hono', 'server-nestjs'],
    'A part of the difference to bare is the unit and its id, which a side without the plugin shows in the row of Fastify: a random id in place of a counter; what the peer may set; an object that owns tasks, can be cancelled and is sealed; a `run`. The rest is the promises of the middleware: all hooks, callbacks and events run in the unit, the seal waits for the handler and the reply, and a close waits for both. The row of the parts shows what each of these costs. The peers make none of these promises. Profiles show the cost in about thirty functions, and none dominates. Tried and kept: one `emit` for all requests instead of closures, no call at all for an event without a listener, lists and counters instead of Sets and weak maps (see the decision), pooled ids, an origin that is parsed once, only the hooks that a server needs. Tried without an effect: no replaced `emit`, which is the most that classes of our own for Node’s messages could save; hooks that are not wrapped.',
  ),
  ...same(
    ['request-full', 'fastify-logging'],
    'The row of the parts shows what extraction and baggage cost. The fields are text before a line is written, like those of a static child. The mixin adds one id; here the lines have the ids of the trace and the declared values too, each line looks up its unit, and the request has all promises of the plugin. Tried and kept: one search for all keys in the bindings of a line. Tried without an effect: ids quoted without `JSON.stringify`.',
  ),
  ...same(
    ['fastify-undici', 'fastify-fetch'],
    'The sides with a bare call show the two parts: what the request costs, and what the call adds to it: the headers, and the deadline of the caller. Two sides with the same code differ by a few percent here: a part of the difference is noise.',
  ),
  ...same(
    ['fastify-spawn', 'fastify-open-loop', 'fastify-spans'],
    'The request costs more than a bare one, as the row without the kernel shows. Two sides with the same code differ by a few percent here: a part of the difference is noise.',
  ),
  ...same(
    ['job-context', 'job-pg-boss', 'job-bullmq'],
    'A job has a unit with an end, an envelope that is written and read, and a scope that the close of the worker waits for. The handlers here do nothing, and 500 jobs are in flight at once: the largest part of the difference is garbage collection. With BullMQ, a part of it is the extension point itself, as the side of BullMQOtel shows.',
  ),
  ...same(
    ['growth-pending', 'growth-in-flight', 'growth-connections'],
    'The collector traverses a heap with this many young objects during some batches, also during batches of the floor. Tried and kept: a linked list instead of a Set, which became slower with each past task (see the decision).',
  ),
  'growth-variables':
    'Up to 32 variables a write copies an array. With more variables it goes through a tree: more expensive at that point, and constant from there on.',
  ...same(
    ['memory-tasks-10000', 'memory-tasks-100000'],
    'The code by hand, which lists its tasks and reports a failure, needs as much on Node 24 and 26. Half of it is the bare promise of an async function, and a fifth the frame of `als.run`. Tried and dropped: one pair of handlers for all tasks (96 B less, but a shared task has no context of its own, so both ways would be needed).',
  ),
  ...same(
    ['memory-in-flight', 'memory-idle'],
    'Of a request or a connection, the larger part is the unit and its id, as the side without the plugin shows: a scope, its cell and values, an id, and the frame of `als.run` or, on Node 22, the contexts of each promise. The rest is what the plugin keeps: the state of the connection and the peer, the replaced `emit` of two objects, the wait for the handler, the snapshot of the contexts. Tried and kept: values without spare room, also after the end; one list of rules for all requests that set the same variables; requests, tasks and connections as their own list links; bound functions instead of closures; no list of replies, no weak maps; fields that most units never use are made at their first use. Tried and dropped: a replaced `emit` instead of a listener on each connection (128 B less, but each WebSocket event would pay).',
  ),
}

function same(rows: readonly string[], reason: string): Record<string, string> {
  return Object.fromEntries(rows.map((row) => [row, reason]))
}
