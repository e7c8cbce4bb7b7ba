import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import { EventStreams } from '../../src/inspector/event-streams.ts'

it('a stream that ends receives no further events: a write after the end is an error', async () => {
  const watched: boolean[] = []
  const streams = new EventStreams({
    process: 'p',
    entriesAfter: () => [],
    lastSequence: () => 0,
    isOwn: () => true,
    status: () => '[]',
    onWatched: (isWatched) => void watched.push(isWatched),
  })
  const { promise: opened, resolve } = Promise.withResolvers<ServerResponse>()
  const server = createServer((_request, response) => {
    streams.add({ response, ownOnly: false, group: undefined, isServed: () => true }, undefined)
    resolve(response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  const reply = fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  const errors: unknown[] = []
  ;(await opened).on('error', (error) => errors.push(error))

  streams.end(() => true)
  streams.sendStatus()
  streams.sendRemoval('p.1')
  await turn()

  expect(errors).toEqual([])
  expect(await (await reply).text()).toContain('event: status')
  expect(watched).toEqual([true, false])
})
