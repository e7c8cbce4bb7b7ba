/** What the library promises, and what shows it. */
export interface Promised {
  /** The npm script whose last line is the figure. */
  readonly command: string
  /** Which part of it is run for the page. Default: all. */
  readonly args?: readonly string[]
  readonly title: string
  readonly promise: string
  /** How the command shows it, and what keeps the check itself honest. */
  readonly how: string
  /** What of it runs with every `npm test`. */
  readonly inTests: string
}

export const promises: readonly Promised[] = [
  {
    command: 'prove',
    title: 'The rules hold in every program',
    promise:
      'What a piece of work reads, and who sees what it writes, is what the [twelve rules](concepts.md) say, however awaits, tasks, generators, timeouts and late callbacks are mixed and in whatever order they run.',
    how: 'Random programs run in the library and in a model (`test/model`) of PEP 550 that knows no `AsyncLocalStorage`, step beside step, under random schedules. Deliberately wrong libraries, one for each kind of step, must be found.',
    inTests:
      '2,000 programs, the same each time, and all wrong libraries. The behaviours that CPython, asyncio, trio, the AsyncContext proposal and PEP 550 assert are tests of their own, in `test/outside`.',
  },
  {
    command: 'soak',
    title: 'No request sees the values of another',
    promise: 'Under load nothing crosses from one request into another, and no spawned task is lost.',
    how: '20,000 requests on 100 keep-alive connections, with split bodies, tasks to a depth of four, timers, files, streams, generators, a pool with callbacks and a saturated HTTP pool, on each Node version. A global variable, `enterWith` and headers written in a diagnostics channel run under the same load and must be seen to cross.',
    inTests: 'A short form of the same.',
  },
  {
    command: 'fastify-matrix',
    title: 'The context is there in every hook and event',
    promise:
      'Every hook, log line and event of Fastify and of the raw messages has the values of its request, however the request ends. The few places that do not are listed with the reason.',
    how: 'Each place is looked at in each ending, on every supported Node version with both of its ways to carry contexts, and written to [the matrix](fastify-matrix.md). A bare `AsyncLocalStorage.run` stands beside it.',
    inTests: 'Each cell of the Node that runs the tests.',
  },
  {
    command: 'test:matrix',
    args: ['node22', 'node24', 'node26'],
    title: 'It is the same on every supported Node',
    promise: 'Node 22, 24 and 26 behave alike, with `async_hooks` and with `AsyncContextFrame`.',
    how: 'The whole suite on each, here in the way to carry contexts that is each one’s own; without arguments in the other way too, and on Bun and Deno, of which [its page](runtimes.md) lists what holds.',
    inTests: 'The suite on one Node.',
  },
  {
    command: 'memory',
    title: 'Nothing of a request is kept',
    promise:
      'The heap does not grow with the number of requests, and what outlives a request holds none of its values.',
    how: 'The heap of a server after 50,000 requests with a task each, and after a million.',
    inTests:
      'Idle keep-alive sockets on either side, timers, pools, caches and forgotten promises hold no value after the seal, and at most 2 KB; what has ended is gone with the next young collection.',
  },
  {
    command: 'fuzz',
    args: ['--seconds=8'],
    title: 'No header can hurt',
    promise:
      'No input of a peer throws, passes a limit or takes more than linear time; no option is misunderstood in silence.',
    how: 'Inputs made from a corpus (`test/fuzz/corpus`) by mutation, for every parser and for the options, beside references that were written for clearness only.',
    inTests: '200,000 inputs for each, and the corpus.',
  },
  {
    command: 'shutdown',
    title: 'No acknowledged task is lost',
    promise: 'A server that is told to stop under load finishes what it has taken on, or names it.',
    how: 'Servers in processes of their own get `SIGTERM` at random moments under load; what was acknowledged is compared with what has finished and what was named.',
    inTests: 'Some rounds, and each state of a connection by itself.',
  },
  {
    command: 'mutate',
    title: 'The tests notice',
    promise: 'A change to the code of contexts, tasks or propagators that breaks it fails a test.',
    how: 'Stryker changes one expression at a time and runs the tests. What survives is listed with the reason why it is no change, or was met with a test.',
    inTests: 'None of it: it takes long.',
  },
]
