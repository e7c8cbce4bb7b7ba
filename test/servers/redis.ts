import { once } from 'node:events'
import { connect } from 'node:net'
import { findProgram, freePort, type RunningServer, runServer, temporaryDirectory } from './server.ts'

export const redisProgram = findProgram('redis-server')

/** A Redis of its own. It keeps each write, so that nothing is lost when it is killed. */
export async function startRedis(): Promise<RunningServer> {
  const directory = await temporaryDirectory()
  const port = await freePort()
  const files = ['--dir', directory.path, '--appendonly', 'yes', '--appendfsync', 'always', '--save', '']
  const start = () =>
    runServer({
      command: String(redisProgram),
      args: ['--port', String(port), '--bind', '127.0.0.1', ...files],
      async ready() {
        const socket = connect(port, '127.0.0.1')
        socket.write('PING\r\n')
        const [answer] = await once(socket, 'data')
        socket.destroy()
        if (!String(answer).startsWith('+PONG')) throw new Error(String(answer))
      },
    })
  let server = await start()
  return {
    url: `redis://127.0.0.1:${port}`,
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
