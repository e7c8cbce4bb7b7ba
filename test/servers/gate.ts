import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A gate between the clients and a server: it can hold the answers of the server back, and end the connections. */
export interface Gate {
  readonly port: number
  /** From now on, requests arrive at the server and its answers do not come back. Resolves when the next request arrived. */
  hold(): Promise<void>
  /** Ends the connections. New ones are refused. */
  cut(): Promise<void>
}

export async function startGate(serverPort: number): Promise<Gate> {
  const sockets = new Set<Socket>()
  let held: PromiseWithResolvers<void> | undefined
  const server = createServer((client) => {
    const upstream = connect(serverPort, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.on('data', (data) => upstream.write(data))
    upstream.on('data', (data) => {
      if (held === undefined) client.write(data)
      // The server has answered, so it has handled the request.
      else held.resolve()
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    hold: () => (held = Promise.withResolvers<void>()).promise,
    async cut() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
