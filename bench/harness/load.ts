// Sends requests over keep-alive connections. A connection sends its next request after a reply. Raw sockets and a fixed
// text keep the cost of the client low.
import { connect, type Socket } from 'node:net'
import { answerWith, type Load, tell, unknown } from './protocol.ts'

export const expectedBody = '{"hello":"world"}'

answerWith(async (question) => {
  if (question.ask !== 'load') return unknown(question)
  const { load } = question
  const fields = { host: `127.0.0.1:${load.port}`, ...load.headers }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  const request = Buffer.from(`GET / HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1')
  const latencies: number[] = []
  const begun = performance.now()
  await Promise.all(Array.from({ length: load.connections }, () => send(load, begun + load.ms, request, latencies)))
  const ms = performance.now() - begun
  latencies.sort((a, b) => a - b)
  return { is: 'loaded', requests: latencies.length, ms, p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? 0 }
})
tell({ is: 'ready' })

function send({ port, requests }: Load, end: number, request: Buffer, latencies: number[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let text = ''
  let sentAt = 0
  const sendNext = () => {
    sentAt = performance.now()
    socket.write(request)
  }
  socket.on('connect', sendNext)
  socket.on('error', reject)
  socket.on('close', () => reject(new Error('The server closed a connection.')))
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    if (!isWhole(text)) return
    const now = performance.now()
    latencies.push(now - sentAt)
    if (!text.startsWith('HTTP/1.1 200 ') || !text.endsWith(expectedBody)) {
      socket.destroy(new Error(`Expected 200 and ${expectedBody}, got:\n${text}`))
      return
    }
    text = ''
    if (now < end || latencies.length < requests) return sendNext()
    socket.destroy()
    resolve()
  })
  return promise
}

/** Whether a reply is complete, by its content-length. */
function isWhole(text: string): boolean {
  const headerEnd = text.indexOf('\r\n\r\n')
  if (headerEnd === -1) return false
  const place = text.indexOf('content-length: ')
  if (place === -1) throw new Error(`Expected a reply with a content-length, got:\n${text}`)
  return text.length >= headerEnd + 4 + Number.parseInt(text.slice(place + 16, place + 24), 10)
}
