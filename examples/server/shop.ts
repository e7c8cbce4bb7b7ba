import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { LogLine } from './log-lines.ts'

/** Starts the three services, each a process on a free port of loopback, and hands on what they log. `options` are theirs. */
export async function openShop(onLine: (line: LogLine) => void, options: readonly string[] = []) {
  const services: ChildProcess[] = []

  async function open(name: string, ...args: string[]): Promise<string> {
    const child = fork(new URL(`${name}.ts`, import.meta.url), [...args, ...options], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    })
    if (child.stdout) createInterface(child.stdout).on('line', (text) => onLine(JSON.parse(text) as LogLine))
    // A service that fails ends the shop, and that ends the others.
    child.once('exit', (code) => code !== 0 && process.exit(1))
    services.unshift(child)
    return String((await once(child, 'message'))[0])
  }

  /** Closes the services, the front one first: tasks that still run find those behind it. */
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
