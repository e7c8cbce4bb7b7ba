import { current, outside, runInScope, spawn, TaskGroup, withTaskGroup, withTimeout } from 'logical-context'
import { type Canary, canaries, type Exit, knowingAll, ofContext, plain } from './canaries.ts'
import { fill } from './channel-exits.ts'
import { shown } from './shown.ts'

/** The test's own cause of the last one is a context, which shows what contexts show. */
const failing: [name: string, may: readonly Canary[], fail: () => unknown][] = [
  ['a write outside any unit', [], () => outside(() => plain.set(canaries.plain))],
  ['a time that is over', [], () => withTimeout(() => new Promise(() => {}), 1)],
  ['a full group', [], () => fill(new TaskGroup({ maxConcurrent: 1, maxQueued: 0 }))],
  ['a closed group', [], () => closed(new TaskGroup()).spawn(() => {})],
  ['an ended scope', [], () => runInScope((scope) => scope).run(() => {})],
  [
    'a request that was aborted',
    [],
    () => runInScope((scope) => (scope.abort(new Error('gone')), scope.signal.reason)),
  ],
  ['a policy that is none', [], () => spawn(() => {}, { policy: { only: [{} as never] } })],
  [
    'tasks that fail together',
    ofContext,
    () =>
      withTaskGroup(
        (group) => void [1, 2].map(() => group.spawn(() => Promise.reject(new Error('failed', { cause: current() })))),
      ),
  ],
]

function closed(group: TaskGroup): TaskGroup {
  group.close()
  return group
}

export const errorExits: Exit[] = failing.map(([name, may, fail]) => ({
  name: `the error of ${name}`,
  may,
  async run() {
    try {
      return shown(await knowingAll(async () => fail()))
    } catch (error) {
      return [...shown(error), (error as Error).stack, (error as Error).message]
    }
  },
}))
