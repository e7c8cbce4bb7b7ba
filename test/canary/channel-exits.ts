import Fastify from 'fastify'
import { type DrainReport, outside, runInScope, spawn, TaskGroup } from 'logical-context'
import { channels } from 'logical-context/channels'
import { contextFetch } from 'logical-context/clients/fetch'
import { Messages } from 'logical-context/messages/message'
import logicalContext from 'logical-context/middleware/fastify'
import { vi } from 'vitest'
import { canaries, declared, type Exit, knowingAll, propagators, sensitive, setAll } from './canaries.ts'
import { shown } from './shown.ts'

/** Causes each event. */
async function causeAllEvents(): Promise<void> {
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
    caught(() => outside(() => spawn(fails)))
    caught(() => fill(new TaskGroup({ maxConcurrent: 1, maxQueued: 0 })))
    await drained()
    const messages = new Messages('canary', { propagators })
    await contextFetch.with({ propagators, fetch: async () => new Response() })('http://127.0.0.1/')
    const fields = { ...messages.capture('jobs'), traceparent: 'malformed' }
    await messages.process({ queue: 'jobs', fields }, setAll)
  })
  const late = Promise.withResolvers<void>()
  knowingAll(() => setImmediate(() => late.resolve(void [sensitive.get(), caught(() => sensitive.set('late'))])))
  await late.promise
}

const fails = () => Promise.reject(new Error('failed'))

export const channelExits: Exit[] = [
  ...Object.values(channels).map((channel) => ({
    name: `the messages of ${String(channel.name)}`,
    may: [],
    async run() {
      const texts: string[] = []
      const onMessage = (message: unknown) => void texts.push(...shown(message))
      channel.subscribe(onMessage)
      await causeAllEvents()
      channel.unsubscribe(onMessage)
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
