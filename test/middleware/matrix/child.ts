// Runs all cases on the Node that runs it, and prints what was seen.
import { AsyncLocalStorage, executionAsyncResource } from 'node:async_hooks'
import { createRequire } from 'node:module'
import { measureAll } from './measure.ts'
import type { Mechanism, Run } from './runtime.ts'

const { version: fastify } = createRequire(import.meta.url)('fastify/package.json') as { version: string }
const run: Run = { node: process.version, mechanism: mechanismHere(), fastify, measured: await measureAll() }
process.stdout.write(JSON.stringify(run))

/** Over async_hooks the store is a property of the resource that the code runs in. */
function mechanismHere(): Mechanism {
  const marks = () => Object.getOwnPropertySymbols(executionAsyncResource()).length
  const before = marks()
  return new AsyncLocalStorage().run({}, marks) > before ? 'async_hooks' : 'AsyncContextFrame'
}
