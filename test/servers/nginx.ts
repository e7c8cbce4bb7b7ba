import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findProgram, freePort, runServer, temporaryDirectory } from './server.ts'

export const nginxProgram = findProgram('nginx')

/** nginx with one server, which has `locations`. */
export async function startNginx(locations: string) {
  const directory = await temporaryDirectory()
  const port = await freePort()
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${join(directory.path, name)};`,
  )
  const config = `
    daemon off;
    worker_processes 1;
    pid ${join(directory.path, 'nginx.pid')};
    error_log stderr;
    events {}
    http {
      access_log off;
      ${folders.join('\n')}
      server {
        listen 127.0.0.1:${port};
        ${locations}
      }
    }`
  const file = join(directory.path, 'nginx.conf')
  await writeFile(file, config)
  const server = await runServer({
    command: String(nginxProgram),
    args: ['-c', file, '-e', 'stderr'],
    ready: () => fetch(`http://127.0.0.1:${port}/`),
  })
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      await server.end('SIGTERM')
      await directory.remove()
    },
  }
}
