/** A promise of the library, and the command that tests it. */
export interface Promised {
  /** The npm script. Its last line is the figure. */
  readonly command: string
  /** The arguments for the page. Default: none, which runs everything. */
  readonly args?: readonly string[]
  readonly title: string
  readonly promise: string
  /** How the command tests the promise, and how the check itself is tested. */
  readonly how: string
  /** The part that runs with every `npm test`. */
  readonly inTests: string
}

export const promises: readonly Promised[] = [
  {
    command: 'prove',
    title: 'The rules hold in every program',
    promise:
      'Reads and writes follow the [rules](concepts.md), for every mix and every order of awaits, tasks, generators, timeouts and late callbacks.',
    how: 'Random programs run in the library and in a model (`test/model`) of PEP 550 without `AsyncLocalStorage`, under random schedules. Each step is compared. The command must find deliberately wrong libraries, one for each kind of step.',
    inTests:
      '2,000 programs, the same each time, and all wrong libraries. `test/outside` has the assertions of CPython, asyncio, trio, the AsyncContext proposal and PEP 550.',
  },
  {
    command: 'soak',
    title: 'No request sees the values of another',
    promise: 'Under load no value crosses from one request into another, and no spawned task is lost.',
    how: '20,000 requests on 100 keep-alive connections run on each Node version. They use split bodies, tasks to a depth of four, blocks, timers, files, streams, generators, a pool with callbacks and a saturated HTTP pool. Values must cross in four controls under the same load: a global variable, `enterWith`, a block that is never left, and headers written in a diagnostics channel.',
    inTests: 'A short form, with the controls.',
  },
  {
    command: 'fastify-matrix',
    title: 'Every hook and event has its context',
    promise:
      'Every hook, log line and event of Fastify and of the raw messages has the values of its request, however the request ends. The page lists the few exceptions with their reasons.',
    how: 'Each place is checked in each ending, on every supported Node version, with `async_hooks` and with `AsyncContextFrame`. [The matrix](fastify-matrix.md) has the results, next to those of a bare `AsyncLocalStorage.run`.',
    inTests: 'Each cell, on the Node that runs the tests.',
  },
  {
    command: 'test:matrix',
    args: ['node22', 'node24', 'node26'],
    title: 'All supported Node versions behave alike',
    promise: 'Node 22, 24 and 26 behave alike, with `async_hooks` and with `AsyncContextFrame`.',
    how: 'The whole suite runs on each version, here with its default mechanism. Without arguments the command also uses the other mechanism, Bun and Deno; [Runtimes](runtimes.md) lists what works there.',
    inTests: 'The suite on one Node.',
  },
  {
    command: 'memory',
    title: 'No request is kept',
    promise:
      'The heap does not grow with the number of requests, and objects that outlive a request hold none of its values.',
    how: 'The heap of a server is measured after 50,000 requests with a task each, and after a million. A control that keeps its scopes must grow.',
    inTests:
      'Idle keep-alive sockets on either side, timers, pools, caches and pending promises hold no value after the seal, and at most 2 KB. A header is not kept by the values that were cut from it.',
  },
  {
    command: 'fuzz',
    args: ['--seconds=8'],
    title: 'No header can harm',
    promise:
      'No input of a peer throws, passes a limit or takes more than linear time. No option is misunderstood silently.',
    how: 'A corpus (`test/fuzz/corpus`) is mutated for every parser and for the options. The results are compared with simple reference implementations.',
    inTests: '100,000 inputs for each parser, and the corpus.',
  },
  {
    command: 'hostile',
    title: 'No client and no callback ends, fills or stalls the server',
    promise:
      'Depth, pipelining, HTTP/2 resets, disconnects, and functions of the program that throw, reject, return the wrong thing or never settle: the process goes on, nothing is lost, and each failure is reported.',
    how: 'Combinators and tasks are nested 100,000 deep, then they settle, abort and drain. Every option that takes a function is used with every misbehaviour. Sensitive values are searched in all output, also with `customInspect: false`.',
    inTests: 'The same, with a depth of 10,000.',
  },
  {
    command: 'shutdown',
    title: 'No acknowledged task is lost',
    promise:
      'A server that receives `SIGTERM` under load finishes the work that it acknowledged, or reports it by name.',
    how: 'Servers in their own processes get `SIGTERM` at random moments under load. The acknowledged orders are compared with the finished and the reported ones. A control whose tasks have no owner must lose orders.',
    inTests: 'Some rounds with the control, and each state of a connection.',
  },
  {
    command: 'mutate',
    title: 'The tests notice faults',
    promise: 'A change that breaks the code of contexts, tasks or propagators fails a test.',
    how: 'Stryker changes one expression at a time and runs the tests. A surviving change needs a reason in `test/mutation/equivalents.ts`, or a new test.',
    inTests: 'None: it takes too long.',
  },
]
