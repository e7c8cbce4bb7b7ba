import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { LogLine } from './log-line.ts'

/** Starts the three services, each a process of its own on a free port of loopback, and reads what they log. */
export async function openShop(onLine: (line: LogLine) => void) {
  const services: { child: ChildProcess; ended: Promise<unknown[]> }[] = []

  async function open(name: string, ...args: string[]): Promise<string> {
    const child = fork(new URL(`${name}.ts`, import.meta.url), args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
    if (child.stdout) createInterface(child.stdout).on('line', (text) => onLine(JSON.parse(text) as LogLine))
    const ended = once(child, 'close')
    services.unshift({ child, ended })
    const [origin] = await Promise.race([once(child, 'message'), ended])
    if (typeof origin !== 'string') throw new Error(`The service ${name} did not start.`)
    return origin
  }

  /** From the front to the back: who drains its tasks still finds the services behind it. */
  async function close(): Promise<void> {
    for (const { child, ended } of services) {
      // On Windows SIGTERM would end it without a word.
      if (process.platform === 'win32') child.disconnect()
      else child.kill('SIGTERM')
      await ended
    }
  }

  const warehouse = await open('warehouse')
  const orders = await open('orders', warehouse)
  return { gateway: await open('gateway', orders), close }
}
