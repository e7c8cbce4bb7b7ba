/**
 * Why a target is missed, and what was tried, by the row's name; the page says it below the row. A row that meets its
 * targets needs none.
 */
export const reasons: Readonly<Record<string, string>> = {
  get: 'The least there is reads a place that it knows; here a variable knows its own, and the value must be told from "never set". Tried, and kept: a place for each variable in the array itself; any symbol takes the slow way, which saves a comparison.',
  set: 'A write must know whether the unit has ended and whether somebody holds a snapshot of the values, and drop what was derived from them; the faster peer writes into an object that everybody shares.',
  'growth-variables':
    'Up to 32 variables a write copies an array; beyond, it goes through a tree, which is dearer once and flat from there on.',
  'growth-pending':
    'So many pending tasks are a heap that the collector must go through while they are young; it falls into one batch and not into another, of the floor’s too. Tried, and kept: a list of links in place of a Set, which cost more with each task that had ever been there (see the decision).',
  scope:
    'A scope owns tasks, can be cancelled and is sealed: that is an object for it, a cell, and the emptying of the cell at its end, beside the `run` that both need. On Node 22, where `run` costs next to nothing, nothing that has an end can be near the floor. Tried, and kept: no closure on the way in, no reading of the environment, a shorter way where there are no options, no way back into other contexts before somebody needs one.',
  ...forks(
    'A block is a cell that its unit holds, so that the seal reaches what the block has set, too; an object spread is forgotten, and outlives the request in whatever holds it. The unit holds them weakly, in lists, so that a long one does not grow; a weak reference keeps what it leads to until the end of the job, and the benchmark is one job. Without that list, which was tried, a block costs what the spread costs; with lists of 256 in place of 32, the same as now. The cost does not depend on the number of variables.',
  ),
  'spawn-inherit':
    'A task has an owner, a number, an end that is counted, and a signal that is made when it is read. What is left above the floor is these objects.',
  'spawn-isolate':
    'The floor runs in the one root context. A task must have a cell of its own, or one isolated task would see what another has set; a cell is entered by `AsyncLocalStorage.run`, which copies a frame on Node 24 and 26 and costs more than the rest of the floor. Tried: leaving and entering in one call without a closure, which is kept; cells used again, which is not: a timer of the task before would read the values of the task after.',
  ...hops(
    'The floor looks at each character once and copies what came. Here the parts become values: a trace in which a task can stand, a context that is a snapshot, a member that went through its codec; and a list in which a key comes twice is not passed on. Tried, and kept: each character is looked at once, while the text is in one piece (V8 looks at a cut one many times as slowly); what came is passed on as it is; ids are made when they are sent. For the trace alone and for B3, five times as fast as OpenTelemetry would be faster than the floor.',
  ),
  'span-id': 'The floor is the same pool; what is more is a check that the id is not zero.',
  'trace-id': 'The floor is the same pool; what is more is a check that the id is not zero.',
  'log-line':
    'The fields are text already when the line is written, as those of a static child are. What is more: whose line it is must be asked, and whether the line, its logger or a span has anything else to say.',
  awaits:
    'The awaits cost what they cost in one `als.run`; the opening and the seal of the scope around them are what is more.',
  ...servers(
    'The floor is one line. Here each request gets an id and a unit with an end: the events of its request and response are heard in its context, its handler and its reply are waited for at the seal and at a close, its peer is judged, its id stands in the reply and on its log lines. Profiles show it spread over some thirty functions, of which none stands out. Tried, and kept: one `emit` for all requests and one listener for all replies in place of a closure each, lists and counters in place of Sets and weak maps (see the decision), ids from a pool, fields of the log that are text, arrays of values that never grow, no turn of the event loop at a request’s end, an origin that is parsed once, headers that are copied once, no hook that a server does not need.',
  ),
  ...heaps(
    'A request holds its scope, its cell and values, its id, name and trace, what its connection is used for and who its peer is, the listening `emit` on two objects, the wait for its handler and the way back into its contexts; a task, the same without the request. More than half of what is allowed is taken by the frame of any `als.run`, where Node has AsyncContextFrame; on Node 22 each promise bears the contexts itself. Tried, and kept: values without room to spare, also what is left of them at the end; one list of rules for all requests that set the same variables; requests, tasks and connections that are their own links in a list; bound functions in place of closures; no list of replies, no weak maps; fields that most units never use are made when they are used. Tried, and not kept: no further listener on a connection (128 B less, as Node’s list of listeners takes room for nineteen at the third), for which its `emit` would be replaced, and each event of a WebSocket pay; one pair of handlers for all tasks, which find theirs by the context they run in (96 B less): a shared task has none of its own and a body may leave another one behind it, so both ways would be needed.',
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
