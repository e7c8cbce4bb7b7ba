// The load of `npm run memory`, in its own process, whose memory is not measured. It sends the requested number of requests
// and answers when all have replies. Its connections stay open and idle.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { endOfReply, type Order } from './order.ts'

const connections = 50
/** The number of pipelined requests. */
const depth = 10

const sockets: Socket[] = []
let number = 0

process.on('message', (order: Order) => {
  void send(order).then(() => process.send?.(order.requests))
})

async function send({ port, requests }: Order): Promise<void> {
  while (sockets.length < connections) {
    const socket = connect(port, '127.0.0.1').setNoDelay(true)
    await once(socket, 'connect')
    sockets.push(socket)
  }
  let left = requests
  await Promise.all(
    sockets.map(async (socket) => {
      while (left > 0) {
        const count = Math.min(depth, left)
        left -= count
        await ask(socket, count)
      }
    }),
  )
}

function ask(socket: Socket, count: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let open = count
  const onData = (chunk: Buffer) => {
    const end = endOfReply.charCodeAt(0)
    for (let at = chunk.indexOf(end); at !== -1; at = chunk.indexOf(end, at + 1)) open--
    if (open > 0) return
    socket.off('data', onData).off('close', onClose)
    resolve()
  }
  const onClose = () => reject(new Error('The server closed a connection.'))
  socket.on('data', onData).on('close', onClose)
  socket.write(
    Array.from({ length: count }, () => {
      number++
      return `GET /orders/${number} HTTP/1.1\r\nhost: shop\r\nx-request-id: request-${number}\r\n\r\n`
    }).join(''),
  )
  return promise
}
