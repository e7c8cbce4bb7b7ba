import { channel } from 'node:diagnostics_channel'
import { runInScope, spawn } from 'logical-context'
import { channels, type EventChannel } from 'logical-context/channels'
import { describe, expect, it, onTestFinished } from 'vitest'
import * as lifecycle from '../src/tasks/lifecycle.ts'

const isChannel = (value: unknown) => typeof value === 'object' && value !== null && 'publish' in value
const published = Object.entries(lifecycle).filter(([, value]) => isChannel(value))

/** Subscribes for the length of the test. */
function record<Message>(source: EventChannel<Message>): Message[] {
  const events: Message[] = []
  const listener = (message: Message) => void events.push(message)
  source.subscribe(listener)
  onTestFinished(() => void source.unsubscribe(listener))
  return events
}

describe('channels', () => {
  it('has each channel that the package publishes on, and the one of lost contexts', () => {
    const { contextLost, ...others } = channels

    expect(others).toEqual(Object.fromEntries(published))
    expect(contextLost).toBe(channel('logical-context:context:lost'))
  })

  it.each(Object.entries(channels))('has %s under the name of its event', (key, { name }) => {
    const words = key.replace(/[A-Z]/g, (letter) => `:${letter.toLowerCase()}`)

    expect(name).toBe(`logical-context:${words}`)
  })

  it('calls a listener with the event and the name, until it is unsubscribed', async () => {
    const ends: unknown[] = []
    const listener: Parameters<typeof channels.taskEnd.subscribe>[0] = ({ task, outcome }, name) =>
      void ends.push([task.name, outcome, name])
    const run = () => runInScope(() => spawn(async () => {}, { name: 'receipt' }).result())

    channels.taskEnd.subscribe(listener)
    await run()
    const known = channels.taskEnd.unsubscribe(listener)
    await run()

    expect(ends).toEqual([['receipt', 'done', 'logical-context:task:end']])
    expect([known, channels.taskEnd.unsubscribe(listener)]).toEqual([true, false])
  })

  it('has the event of a function that was called outside any unit', () => {
    const lost = record(channels.contextLost)

    expect(() => spawn(async () => {})).toThrow(expect.objectContaining({ code: 'LCTX_OUTSIDE_UNIT' }))

    expect(lost).toEqual([
      { operation: expect.any(String), error: expect.objectContaining({ code: 'LCTX_OUTSIDE_UNIT' }) },
    ])
  })
})
