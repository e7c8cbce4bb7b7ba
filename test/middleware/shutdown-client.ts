import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** A client that sends just what a test passes to it, and keeps what it received. */
export class Client {
  readonly socket: Socket
  /** Resolves when the connection has ended, well or badly. */
  readonly closed: Promise<void>
  heard = ''

  private constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.setEncoding('latin1').on('error', () => {})
    this.socket.on('data', (chunk: string) => (this.heard += chunk))
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()))
  }

  static async open(port: number): Promise<Client> {
    const client = new Client(port)
    await once(client.socket, 'connect')
    return client
  }

  ask(path: string, ...headers: string[]): void {
    this.socket.write([`GET ${path} HTTP/1.1`, 'host: x', ...headers, '', ''].join('\r\n'))
  }

  /** Resolves when `text` has come, for the first time or again `times` times. */
  async hears(text: string, times = 1): Promise<void> {
    while (this.heard.split(text).length <= times) await once(this.socket, 'data')
  }
}
