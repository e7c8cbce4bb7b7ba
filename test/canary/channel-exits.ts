import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import Fastify from 'fastify'
import { type DrainReport, runInScope, spawn, TaskGroup } from 'logical-context'
import logicalContext from 'logical-context/middleware/fastify'
import { vi } from 'vitest'
import { canaries, declared, type Exit, knowingAll, propagators, sensitive, setAll } from './canaries.ts'
import { shown } from './shown.ts'

const channels = [
  'scope:open',
  'scope:close',
  'scope:seal',
  'task:spawn',
  'task:start',
  'task:end',
  'task:refuse',
  'task:abandon',
  'context:late',
  'inbound:refuse',
]

/** Does all that is told on a channel. */
async function tellOnAllChannels(): Promise<void> {
  const app = Fastify()
  await app.register(logicalContext, { propagators, onRefusal() {} })
  await app.inject({ url: '/', headers: { baggage: `declared=${encodeURIComponent(canaries.sensitive)}` } })
  await knowingAll(async () => {
    await runInScope(
      () => (
        setAll(),
        spawn(fails, { onError: () => {} })
          .result()
          .catch(() => {})
      ),
    )
    caught(() => fill(new TaskGroup({ maxConcurrent: 1, maxQueued: 0 })))
    await drained()
  })
  const late = Promise.withResolvers<void>()
  knowingAll(() => setImmediate(() => late.resolve(void [sensitive.get(), caught(() => sensitive.set('late'))])))
  await late.promise
}

const fails = () => Promise.reject(new Error('failed'))

export const channelExits: Exit[] = [
  ...channels.map((name) => ({
    name: `the messages of logical-context:${name}`,
    may: [],
    async run() {
      const texts: string[] = []
      const onMessage = (message: unknown) => void texts.push(...shown(message))
      subscribe(`logical-context:${name}`, onMessage)
      await tellOnAllChannels()
      unsubscribe(`logical-context:${name}`, onMessage)
      return texts
    },
  })),
  {
    name: 'what goes to the console by itself',
    may: [],
    async run() {
      const print = vi.spyOn(console, 'error').mockReturnValue()
      runInScope(() => (setAll(), setImmediate(() => [sensitive.get(), declared.get()])), { lateWrites: 'report' })
      const group = new TaskGroup()
      knowingAll(() => group.spawn(() => Promise.reject(new Error('failed')), { name: 'fails' }))
      await new Promise((resolve) => setTimeout(resolve, 5))
      const lines = print.mock.calls.flat().map(String)
      print.mockRestore()
      if (lines.length === 0) throw new Error('Nothing was printed: this exit looks at nothing.')
      return lines
    },
  },
]

export function drained(): Promise<DrainReport> {
  const group = new TaskGroup()
  group.spawn(() => new Promise(() => {}), { name: 'stays' })
  return group.drain({ timeoutMs: 1, graceMs: 1 })
}

function caught(fn: () => void): unknown {
  try {
    return fn()
  } catch (error) {
    return error
  }
}

export function fill(group: TaskGroup): unknown {
  group.spawn(() => new Promise(() => {}))
  return group.spawn(() => {})
}
