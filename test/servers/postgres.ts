import { execFile } from 'node:child_process'
import { chown, mkdir } from 'node:fs/promises'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { findProgram, freePort, type RunningServer, runServer, temporaryDirectory } from './server.ts'

const folders = globSync('/usr/lib/postgresql/*/bin')
export const postgresProgram = findProgram('postgres', ...folders)

export interface Postgres extends RunningServer {
  /** The folder that its settings are relative to. */
  readonly data: string
}

/** A PostgreSQL of its own, with an empty database. */
export async function startPostgres(settings: Readonly<Record<string, string>> = {}): Promise<Postgres> {
  const directory = await temporaryDirectory()
  const data = join(directory.path, 'data')
  await mkdir(data, { mode: 0o700 })
  const user = await serverUser()
  if (user !== undefined) for (const path of [directory.path, data]) await chown(path, user.uid, user.gid)
  const port = await freePort()
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const run = promisify(execFile)
  await run(String(findProgram('initdb', ...folders)), ['-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync'], {
    ...user,
    cwd: '/',
  })

  const start = () =>
    runServer({
      command: String(postgresProgram),
      args: [
        '-D',
        data,
        '-p',
        String(port),
        '-c',
        'listen_addresses=127.0.0.1',
        '-k',
        directory.path,
        '-c',
        'fsync=off',
        ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ],
      options: { ...user, cwd: '/' },
      // After a kill, the process of a connection can still accept a job.
      several: true,
      async ready() {
        const client = new Client(url)
        await client.connect()
        await client.end()
      },
    })
  let server = await start()
  return {
    url,
    port,
    data,
    kill: () => server.end('SIGKILL'),
    async restart() {
      server = await start()
    },
    async stop() {
      await server.end('SIGINT')
      await directory.remove()
    },
  }
}

/** PostgreSQL refuses to run as root: there it runs as the user of its package. */
async function serverUser(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const run = promisify(execFile)
  const id = async (flag: string) => Number((await run('id', [flag, 'postgres'])).stdout)
  return { uid: await id('-u'), gid: await id('-g') }
}
