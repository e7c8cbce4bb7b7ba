import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, request as forward } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { onTestFinished } from 'vitest'

export interface Proxy {
  readonly url: string
  readonly port: number
  /** The requests that open a tunnel. */
  readonly connects: { readonly target: string; readonly headers: IncomingHttpHeaders }[]
  /** The requests that the proxy itself forwards, and so can read. */
  readonly forwarded: { readonly url: string; readonly headers: IncomingHttpHeaders }[]
}

/** Starts a proxy on loopback that closes with the test. It resolves every name to loopback. */
export async function startProxy(): Promise<Proxy> {
  const connects: Proxy['connects'] = []
  const forwarded: Proxy['forwarded'] = []
  const server = createServer((request, response) => {
    const { url = '', headers, method } = request
    forwarded.push({ url, headers })
    const { port, pathname, search } = new URL(url)
    const upstream = forward({ host: '127.0.0.1', port, path: pathname + search, method, headers }, (reply) => {
      response.writeHead(reply.statusCode ?? 502, reply.headers)
      reply.on('error', () => response.destroy()).pipe(response)
    })
    request.pipe(upstream)
  })
  server.on('connect', (request, socket) => {
    const target = request.url ?? ''
    connects.push({ target, headers: request.headers })
    const tunnel = connect(Number(target.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      tunnel.pipe(socket).pipe(tunnel)
    })
    tunnel.on('error', () => socket.destroy())
    socket.on('error', () => tunnel.destroy()).on('close', () => tunnel.destroy())
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, connects, forwarded }
}

/** Sets environment variables until the test ends or `restore` is called; undefined removes one. */
export function setEnvironment(variables: Record<string, string | undefined>): () => void {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const)
  const restore = () => assignEnvironment(before)
  assignEnvironment(Object.entries(variables))
  onTestFinished(restore)
  return restore
}

function assignEnvironment(variables: readonly (readonly [name: string, value: string | undefined])[]): void {
  for (const [name, value] of variables) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
}
