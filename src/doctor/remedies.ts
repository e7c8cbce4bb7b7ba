/** What to do about a finding. */
export interface Remedy {
  readonly name: 'bind' | 'bindEmitter' | 'outside' | 'register earlier' | 'run in a unit' | 'await or spawn'
  readonly advice: string
  /** The page of the documentation, in the folder of this package. */
  readonly page: string
}

export const remedies = {
  bind: {
    name: 'bind',
    advice: 'Wrap the callback where it is registered: bind(fn).',
    page: 'docs/guides/shared-resources.md#bind-a-job',
  },
  bindEmitter: {
    name: 'bindEmitter',
    advice:
      'If all its listeners belong to one unit, bind the emitter: bindEmitter(emitter). If requests share it, wrap each callback: bind(fn).',
    page: 'docs/guides/shared-resources.md#open-a-unit-for-an-event',
  },
  outside: {
    name: 'outside',
    advice: 'Create the shared object outside any unit: outside(() => new Pool()). Then bind callbacks: bind(fn).',
    page: 'docs/guides/shared-resources.md#create-shared-objects-outside',
  },
  registerEarlier: {
    name: 'register earlier',
    advice: 'Register the plugin logicalContext before the plugin or hook that runs this code.',
    page: 'docs/guides/fastify.md#where-the-context-holds',
  },
  useEarlier: {
    name: 'register earlier',
    advice: 'Use the middleware logicalContext before the middleware or listener that runs this code.',
    page: 'docs/guides/node-http.md#what-is-in-the-unit',
  },
  runInUnit: {
    name: 'run in a unit',
    advice: 'Work without a request needs a unit of its own: runInScope(fn).',
    page: 'docs/guides/background-tasks.md#run-a-job-without-a-request',
  },
  awaitOrSpawn: {
    name: 'await or spawn',
    advice: 'Await the work before the unit ends, or start it with spawn(fn).',
    page: 'docs/guides/background-tasks.md#why-a-bare-promise-is-not-enough',
  },
} satisfies Readonly<Record<string, Remedy>>
