// Sends requests over keep-alive connections: the next one after a reply, or all at a fixed rate. Raw sockets and a fixed
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
  const { rate } = load
  if (rate === undefined) {
    const loops = Array.from({ length: load.connections }, () =>
      sendAfterReply(load, begun + load.ms, request, latencies),
    )
    await Promise.all(loops)
  } else await sendAtRate(load, rate, request, latencies)
  const ms = performance.now() - begun
  latencies.sort((a, b) => a - b)
  return { is: 'loaded', requests: latencies.length, ms, p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? 0 }
})
tell({ is: 'ready' })

function sendAfterReply({ port, requests }: Load, end: number, request: Buffer, latencies: number[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let sentAt = 0
  const sendNext = () => {
    sentAt = performance.now()
    socket.write(request)
  }
  const socket = connectTo(port, reject, () => {
    const now = performance.now()
    latencies.push(now - sentAt)
    if (now < end || latencies.length < requests) return sendNext()
    socket.destroy()
    resolve()
  })
  socket.on('connect', sendNext)
  return promise
}

/** A response time begins when the request is due, also if all connections wait for replies then. */
function sendAtRate(
  { port, connections, ms }: Load,
  rate: number,
  request: Buffer,
  latencies: number[],
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const count = Math.round((rate * ms) / 1000)
  const idle: (() => void)[] = []
  const sockets = Array.from({ length: connections }, () => {
    let dueAt = 0
    const socket = connectTo(port, reject, () => {
      latencies.push(performance.now() - dueAt)
      idle.push(sendNext)
      sendDue()
    })
    const sendNext = () => {
      dueAt = begun + (sent++ * 1000) / rate
      socket.write(request)
    }
    socket.on('connect', () => idle.push(sendNext))
    return socket
  })
  let [begun, sent] = [Number.POSITIVE_INFINITY, 0]
  const sendDue = () => {
    const due = Math.min(count, ((performance.now() - begun) * rate) / 1000)
    while (sent < due) {
      const sendNext = idle.pop()
      if (sendNext === undefined) return
      sendNext()
    }
  }
  // The precision of a timer is a millisecond, which is more than a response takes.
  const turn = () => {
    if (begun > performance.now() && idle.length === connections) begun = performance.now()
    sendDue()
    if (latencies.length < count) setImmediate(turn)
    else {
      for (const socket of sockets) socket.destroy()
      resolve()
    }
  }
  turn()
  return promise
}

/** Calls `onReply` after each reply. */
function connectTo(port: number, fail: (error: Error) => void, onReply: () => void): Socket {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let text = ''
  socket.on('error', fail)
  socket.on('close', () => fail(new Error('The server closed a connection.')))
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    if (!isWhole(text)) return
    if (!text.startsWith('HTTP/1.1 200 ') || !text.endsWith(expectedBody)) {
      socket.destroy(new Error(`Expected 200 and ${expectedBody}, got:\n${text}`))
      return
    }
    text = ''
    onReply()
  })
  return socket
}

/** Whether a reply is complete, by its content-length. */
function isWhole(text: string): boolean {
  const headerEnd = text.indexOf('\r\n\r\n')
  if (headerEnd === -1) return false
  const place = text.indexOf('content-length: ')
  if (place === -1) throw new Error(`Expected a reply with a content-length, got:\n${text}`)
  return text.length >= headerEnd + 4 + Number.parseInt(text.slice(place + 16, place + 24), 10)
}
