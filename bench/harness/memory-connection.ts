import type { Server } from 'node:http'
import { Duplex } from 'node:stream'

/**
 * A keep-alive connection to a server in the same process. Node's parser, the events of request and response, and the
 * framework run as on a socket, without the kernel: half of a request's CPU time is the write to a socket.
 */
export class MemoryConnection extends Duplex {
  readonly remoteAddress = '127.0.0.1'
  readonly bytesRead = 1
  readonly #request: Buffer
  #reply = ''
  #replied: ((reply: string) => void) | undefined

  constructor(server: Server, headers: Readonly<Record<string, string>>, path: string = '/') {
    super()
    const lines = Object.entries({ host: 'localhost', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
    this.#request = Buffer.from(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1')
    server.emit('connection', this)
  }

  /** Sends the request, and resolves with the reply. */
  ask(): Promise<string> {
    return new Promise((resolve) => {
      this.#replied = resolve
      this.push(this.#request)
    })
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#reply += chunk.toString('latin1')
    done()
    if (!this.#reply.endsWith('}')) return
    const reply = this.#reply
    this.#reply = ''
    // In the second tick the response has closed. A request before that is a pipelined one, which is more expensive.
    if (this.#replied !== undefined) process.nextTick(process.nextTick, this.#replied, reply)
  }

  /** What Node's server calls on a socket. */
  setTimeout(): void {}
  destroySoon(): void {
    this.destroy()
  }
}
