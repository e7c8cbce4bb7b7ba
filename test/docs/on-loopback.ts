// Loaded before an example that serves: the example then listens on a free port of loopback, which is sent to the parent
// process.
import { type AddressInfo, Server } from 'node:net'

const { listen } = Server.prototype

Server.prototype.listen = function listenOnLoopback(this: Server, options: object): Server {
  this.once('listening', () => process.send?.((this.address() as AddressInfo).port))
  return listen.call(this, { ...options, host: '127.0.0.1', port: 0 })
} as typeof listen
