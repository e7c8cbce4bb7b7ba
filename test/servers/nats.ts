import { once } from 'node:events'
import { connect } from 'node:net'
import { findProgram, freePort, type RunningServer, runServer, temporaryDirectory } from './server.ts'

export const natsProgram = findProgram('nats-server')

/** A NATS server of its own, with JetStream on disk. */
export async function startNats(): Promise<RunningServer> {
  const directory = await temporaryDirectory()
  const port = await freePort()
  const start = () =>
    runServer({
      command: String(natsProgram),
      args: ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', directory.path],
      async ready() {
        const socket = connect(port, '127.0.0.1')
        const [greeting] = await once(socket, 'data')
        socket.destroy()
        if (!String(greeting).startsWith('INFO')) throw new Error(String(greeting))
      },
    })
  let server = await start()
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    kill: () => server.end('SIGKILL'),
    async restart() {
      server = await start()
    },
    async stop() {
      await server.end('SIGTERM')
      await directory.remove()
    },
  }
}
