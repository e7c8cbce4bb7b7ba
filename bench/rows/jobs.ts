import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { type MicroRow, ours, type Work } from '../harness/row.ts'
import { bullOtel, declared, tenant } from './job-contexts.ts'

interface Fields {
  readonly traceparent: string
  readonly baggage: string
}

/** What a worker reads of a text that its sender wrote. */
interface BothEnds {
  /** The text in the job. */
  capture(): string
  open(text: string, handler: () => unknown): unknown
  read(): unknown
  within?<R>(loop: () => R): R
}

export const jobContext: MicroRow = {
  kind: 'micro',
  name: 'job-context',
  title: 'Capture and open the context of a job',
  about:
    'A request writes its trace and one value into a job as JSON, and a worker runs a handler in that context, which ' +
    'reads the value. The bytes are those of the text in the job. By hand, nothing is checked and nothing ends; our ' +
    'text also has the request id, the policy and the time. BullMQOtel has no spans here, as without an SDK.',
  sides: [
    {
      name: 'by hand',
      role: 'floor',
      setup() {
        const storage = new AsyncLocalStorage<Fields>()
        const fields = { traceparent: declared.traceparent, baggage: `tenant=${tenant}` }
        return bothEnds({
          capture: () => JSON.stringify(storage.getStore()),
          open: (text, handler) => storage.run(JSON.parse(text) as Fields, handler),
          read: () => storage.getStore()?.baggage.slice('tenant='.length),
          within: (loop) => storage.run(fields, loop),
        })
      },
    },
    {
      name: ours,
      role: 'ours',
      async setup() {
        const { runInScope } = await import('logical-context')
        const { Messages, openEnvelope, withEnvelope } = await import('logical-context/messages/message')
        const { variable, propagators } = await declared.variables()
        const messages = new Messages('bench', { propagators })
        return bothEnds({
          capture: () => JSON.stringify(withEnvelope({}, messages.capture('jobs'))),
          open(text, handler) {
            const { fields } = openEnvelope(JSON.parse(text) as object)
            return messages.process({ queue: 'jobs', fields }, handler)
          },
          read: () => variable.get(),
          within: (loop) =>
            runInScope(() => {
              variable.set(tenant)
              return loop()
            }),
        })
      },
    },
    {
      name: 'BullMQOtel',
      role: 'peer',
      async setup() {
        const { contextManager, inRequest, read } = await bullOtel()
        return bothEnds({
          capture: () => contextManager.getMetadata(contextManager.active()),
          open: (text, handler) =>
            contextManager.with(contextManager.fromMetadata(contextManager.active(), text), handler as never),
          read,
          within: inRequest,
        })
      },
    },
  ],
  targets: [{ words: 'at most 20 µs', figure: 'ns', against: ours, atMostItself: 20_000 }],
}

function bothEnds({ capture, open, read, within = (loop) => loop() }: BothEnds): Work {
  let runs = 0
  const handler = () => {
    runs++
    return read()
  }
  return {
    awaited: true,
    op: () => open(capture(), handler),
    within,
    bytes: Buffer.byteLength(within(capture)),
    async check() {
      const text = within(capture)
      assert.equal(await open(text, handler), tenant)
      assert.equal(runs, 1)
    },
  }
}
