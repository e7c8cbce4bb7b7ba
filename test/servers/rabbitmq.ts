import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect } from 'amqplib'
import { findProgram, freePort, type RunningServer, runServer, temporaryDirectory } from './server.ts'

/** Debian's wrapper in /usr/sbin switches to another user. This is the program that it starts. */
export const rabbitProgram = findProgram('rabbitmq-server', '/usr/lib/rabbitmq/bin')

export interface Rabbit extends RunningServer {
  /** Stops the process without an end: it does not answer any more. */
  suspend(): Promise<void>
}

/** A RabbitMQ of its own, on loopback. It takes some seconds to start. */
export async function startRabbit(): Promise<Rabbit> {
  const directory = await temporaryDirectory()
  const [port, distPort, epmdPort] = [await freePort(), await freePort(), await freePort()]
  const url = `amqp://guest:guest@127.0.0.1:${port}`
  await writeFile(join(directory.path, 'enabled_plugins'), '[].')
  await writeFile(join(directory.path, 'rabbitmq.conf'), `listeners.tcp.default = 127.0.0.1:${port}\n`)
  const env = {
    ...process.env,
    HOME: directory.path,
    // Without it, the process is a shell that waits for the broker, and a kill of it leaves the broker.
    RUNNING_UNDER_SYSTEMD: 'true',
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(epmdPort),
    RABBITMQ_NODENAME: `test${port}@localhost`,
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_CONFIG_FILE: join(directory.path, 'rabbitmq.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(directory.path, 'enabled_plugins'),
    RABBITMQ_MNESIA_BASE: join(directory.path, 'mnesia'),
    RABBITMQ_LOG_BASE: join(directory.path, 'log'),
    RABBITMQ_PID_FILE: join(directory.path, 'pid'),
  }
  const start = () =>
    runServer({
      command: '/usr/lib/rabbitmq/bin/rabbitmq-server',
      args: [],
      options: { env, cwd: directory.path },
      async ready() {
        await (await connect(url)).close()
      },
    })
  let server = await start()
  return {
    url,
    port,
    kill: () => server.end('SIGKILL'),
    suspend: () => server.suspend(),
    async restart() {
      server = await start()
    },
    async stop() {
      await server.end('SIGTERM')
      await promisify(execFile)('epmd', ['-port', String(epmdPort), '-kill']).catch(() => {})
      await directory.remove()
    },
  }
}
