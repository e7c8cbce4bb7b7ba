import * as api from 'logical-context'

type Calls =
  | 'bind'
  | 'ContextVar'
  | 'current'
  | 'gather'
  | 'isolateGenerator'
  | 'run'
  | 'runInScope'
  | 'shield'
  | 'spawn'
  | 'withTimeout'

/** Creates a worker, and returns the function that passes a job to it; `turn` is awaited before each. */
export type StartWorker = (turn: () => Promise<unknown>) => (job: (() => void) | undefined) => void

/** What programs are made of: calls of the package, and a worker. A test of the tests replaces some by wrong ones. */
export interface Parts extends Pick<typeof api, Calls> {
  startWorker: StartWorker
}

export const rightParts: Parts = { ...api, startWorker }

/** As queues in a process have them: it runs all jobs where it was started, until it is handed none. */
function startWorker(turn: () => Promise<unknown>): (job: (() => void) | undefined) => void {
  const jobs: ((() => void) | undefined)[] = []
  let wake = Promise.withResolvers<void>()
  void work()
  return (job) => {
    jobs.push(job)
    wake.resolve()
  }

  async function work(): Promise<void> {
    for (;;) {
      await wake.promise
      wake = Promise.withResolvers()
      while (jobs.length > 0) {
        await turn()
        const job = jobs.shift()
        if (job === undefined) return
        job()
      }
    }
  }
}
