import type { ServerRow } from '../harness/row.ts'
import { ours } from '../harness/row.ts'
import * as ways from './fastify-contexts.ts'
import { helloServer } from './hello-server.ts'

const bareInScope = `${ours}, bare promise`

export const fastifySpawn: ServerRow = {
  kind: 'fastify',
  name: 'fastify-spawn',
  title: 'Fastify: with one background task',
  about:
    'Each request starts a task with one turn of the event loop; no code awaits it. `spawn` is compared with a ' +
    'bare promise in the same scope. The bare route has no scope.',
  headers: {},
  sides: [
    { name: 'bare route, bare promise', role: 'floor', serve: () => server(ways.none, async () => start) },
    { name: ours, role: 'ours', serve: () => server(ways.logicalContextAlone, spawnIn) },
    { name: bareInScope, role: 'reference', serve: () => server(ways.logicalContextAlone, async () => start) },
    { name: 'als.run, p-limit', role: 'peer', serve: () => server(ways.oneLineOfAls, limitIn) },
    { name: 'als.run, p-queue', role: 'peer', serve: () => server(ways.oneLineOfAls, queueIn) },
  ],
  targets: [
    {
      words: 'at least 0.95 of the requests/s of a bare promise',
      figure: 'requests/s',
      against: bareInScope,
      atLeast: 0.95,
    },
  ],
}

let [started, ended] = [0, 0]

async function task(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
  ended++
}

const start = () => void task().catch(() => {})

async function server(way: ways.ContextWay, startIn: () => Promise<() => void>) {
  const startTask = await startIn()
  return helloServer(way, {}, () => () => {
    started++
    startTask()
    // Tasks of earlier requests ended.
    return started - ended < 1000
  })
}

async function spawnIn() {
  const { spawn } = await import('logical-context')
  return () => void spawn(task, { name: 'work' })
}

async function limitIn() {
  const { default: pLimit } = await import('p-limit')
  const limit = pLimit(1000)
  return () => void limit(task).catch(() => {})
}

async function queueIn() {
  const { default: PQueue } = await import('p-queue')
  const queue = new PQueue({ concurrency: 1000 })
  return () => void queue.add(task).catch(() => {})
}
