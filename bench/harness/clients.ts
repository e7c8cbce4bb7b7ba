// Opens keep-alive connections with one request each, and keeps the connections open.
import { connect } from 'node:net'
import { answerWith, tell, unknown } from './protocol.ts'

answerWith(async (question) => {
  if (question.ask !== 'open') return unknown(question)
  const { port, count, untilReply } = question
  for (let opened = 0; opened < count; opened += 100) {
    await Promise.all(Array.from({ length: Math.min(100, count - opened) }, () => open(port, untilReply)))
  }
  return { is: 'done' }
})
tell({ is: 'ready' })

function open(port: number, untilReply: boolean): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('error', reject)
  socket.on('connect', () => socket.write('GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n', () => untilReply || resolve()))
  socket.on('data', (chunk: Buffer) => {
    if (chunk.toString('latin1').includes('"world"')) resolve()
    else reject(new Error(`Expected a world, got:\n${chunk.toString('latin1')}`))
  })
  return promise
}
