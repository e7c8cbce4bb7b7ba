// The load of `npm run memory`, in a process of its own: what it holds is not measured. Told how many requests to send,
// it sends them and says when all are answered; its connections stay open, and are idle then.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { endOfReply, type Order } from './order.ts'

const connections = 50
/** Requests that are sent at once. */
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
  const onClose = () => reject(new Error('The server has closed a connection.'))
  socket.on('data', onData).on('close', onClose)
  socket.write(
    Array.from({ length: count }, () => {
      number++
      return `GET /orders/${number} HTTP/1.1\r\nhost: shop\r\nx-request-id: request-${number}\r\n\r\n`
    }).join(''),
  )
  return promise
}
