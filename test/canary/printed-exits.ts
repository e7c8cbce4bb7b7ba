import { inspect } from 'node:util'
import Fastify from 'fastify'
import { bind, current, isolateGenerator, runInScope, spawn, TaskGroup, withTaskGroup } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import {
  type Canary,
  canaries,
  declared,
  type Exit,
  knowingAll,
  ofContext,
  plain,
  sensitive,
  setAll,
} from './canaries.ts'
import { drained } from './channel-exits.ts'
import { shown } from './shown.ts'

/** Objects that are made in a unit with all canaries, and the canaries that each can show. */
const objects: [name: string, may: readonly Canary[], make: () => unknown][] = [
  ['a ContextVar', [], () => [declared, plain, sensitive]],
  ['a LogicalContext', ofContext, () => current()],
  ['the context of a scope', ofContext, () => runInScope((scope) => (setAll(), scope.context))],
  ['a RequestScope', [], () => runInScope((scope) => (setAll(), scope))],
  ['a Task', [], () => spawn(() => {})],
  ['a Task that runs', [], () => spawn(() => new Promise(() => {}))],
  ['a TaskGroup', [], () => withTasks(new TaskGroup())],
  ['a StructuredTaskGroup', [], () => withTaskGroup((group) => inspect(withTasks(group as never), { depth: 8 }))],
  ['a bound function', [], () => bind(() => sensitive.get())],
  ['a generator', [], () => started()],
  ['an override', [], () => sensitive.override('other')],
  ['a signal', [], () => runInScope((scope) => (setAll(), scope.signal))],
  ['a DrainReport', ofContext, () => drained()],
]

function withTasks(group: TaskGroup): TaskGroup {
  group.spawn(() => new Promise((resolve) => setTimeout(resolve, 5)))
  group.spawn(() => {}, { policy: 'isolate' })
  return group
}

function started(): unknown {
  const generator = isolateGenerator(function* () {
    sensitive.set(canaries.sensitive)
    yield 1
  })()
  generator.next()
  return generator
}

const objectExits: Exit[] = objects.map(([name, may, make]) => ({
  name: `what is printed of ${name}`,
  may,
  run: () => knowingAll(async () => shown(await make())),
}))

const fastifyExits: Exit[] = [
  {
    name: 'what is printed of a request, its reply and their app',
    may: [],
    async run() {
      const app = Fastify()
      await app.register(logicalContext)
      const texts: string[] = []
      app.get('/', async (request, reply) => {
        setAll()
        spawn(() => new Promise((resolve) => setTimeout(resolve, 5)))
        texts.push(...[request, request.log, reply, app, app.requestScopes].flatMap(shown))
        return 'ok'
      })
      await (await fetch(await app.listen({ host: '127.0.0.1', port: 0 }))).text()
      await app.close()
      return texts
    },
  },
]

export const printedExits: Exit[] = [...objectExits, ...fastifyExits]
