import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { LogLine } from './log-lines.ts'

/** Starts the three services as processes on free ports of loopback, and passes on their logs and `options`. */
export async function openShop(onLine: (line: LogLine) => void, options: readonly string[] = []) {
  const services: ChildProcess[] = []

  async function open(name: string, ...args: string[]): Promise<string> {
    const child = fork(new URL(`${name}.ts`, import.meta.url), [...args, ...options], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    })
    if (child.stdout) createInterface(child.stdout).on('line', (text) => onLine(JSON.parse(text) as LogLine))
    // If a service fails, the shop ends, and ends the others.
    child.once('exit', (code) => code !== 0 && process.exit(1))
    services.unshift(child)
    return String((await once(child, 'message'))[0])
  }

  /** Closes the services, first the gateway: its running tasks still reach the other services. */
  async function close(): Promise<void> {
    for (const child of services) {
      if (process.platform === 'win32') child.send('close')
      else child.kill('SIGTERM')
      await once(child, 'close')
    }
  }

  const orders = await open('orders', await open('warehouse'))
  return { gateway: await open('gateway', orders), close }
}
