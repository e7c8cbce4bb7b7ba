import type { AddressInfo, Socket } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import logicalContext, { type CloseReport, type LogicalContextOptions } from 'logical-context/middleware/fastify'
import { onTestFinished, vi } from 'vitest'
import { Client } from './shutdown-client.ts'

/** A limit that only a close reaches whose wait never ends. */
export const longMs = 20_000
/** What a close may take that has nothing to wait for, on a machine that is busy. */
export const soonMs = 3000
/** A limit that is meant to be reached. */
export const limitMs = 200
/** The limit and the second after it, and half of one for a machine that is busy. */
export const limitIsOverMs = limitMs + 1000 + 500
/** More than the buffers on both sides of a connection hold. */
export const wholeBody = 'x'.repeat(16 * 1024 * 1024)

interface ShopOptions extends FastifyServerOptions {
  plugin?: LogicalContextOptions
  /** What is done to the app before it has the plugin. */
  before?: (app: FastifyInstance) => unknown
}

/** A server to be closed, and its clients, until the end of the test. */
export class Shop {
  readonly app: FastifyInstance
  readonly reports: CloseReport[] = []
  port = 0
  readonly #sockets: Socket[] = []
  readonly #closing = Promise.withResolvers<void>()

  private constructor(options: FastifyServerOptions) {
    this.app = Fastify(options)
    this.app.server.on('connection', (socket) => this.#sockets.push(socket))
  }

  static async open(drainTimeoutMs: number, options: ShopOptions = {}): Promise<Shop> {
    const { before, plugin, ...serverOptions } = options
    const shop = new Shop(serverOptions)
    onTestFinished(() => shop.app.close())
    await before?.(shop.app)
    const onDrained = (report: CloseReport) => void shop.reports.push(report)
    await shop.app.register(logicalContext, { drainTimeoutMs, onDrained, ...plugin })
    shop.app.addHook('preClose', (done) => {
      shop.#closing.resolve()
      done()
    })
    return shop
  }

  async listen(): Promise<number> {
    if (this.port === 0) {
      await this.app.listen({ port: 0, host: '127.0.0.1' })
      this.port = (this.app.server.address() as AddressInfo).port
    }
    return this.port
  }

  async dial(): Promise<Client> {
    const client = await Client.open(await this.listen())
    onTestFinished(() => void client.socket.destroy())
    return client
  }

  /** Resolves when the server has read what the client sends; its first words. */
  async hears(client: Client, text: string): Promise<void> {
    client.socket.write(text)
    const { localPort } = client.socket
    const socket = () => this.#sockets.find(({ remotePort }) => remotePort === localPort)
    await vi.waitUntil(() => socket()?.bytesRead === text.length)
  }

  /** A route that answers when `answer` is called. */
  gate(path = '/gate') {
    const entered = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    this.app.get(path, async () => {
      entered.resolve()
      await go.promise
      return 'whole'
    })
    return { entered: entered.promise, open: go.resolve }
  }

  /** Begins the close; resolves when the hooks of `preClose` have run. */
  async beginClose(): Promise<{ closed: Promise<number> }> {
    const closed = this.close()
    await this.#closing.promise
    return { closed }
  }

  /** Closes the app, and says how long that took. */
  async close(): Promise<number> {
    const startedAt = performance.now()
    await this.app.close()
    return performance.now() - startedAt
  }

  /** The requests that were left at the limit. */
  get left(): string[] {
    return this.reports.flatMap((report) => report.unfinishedRequests.map(({ name }) => name))
  }
}
