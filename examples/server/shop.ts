import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { LogLine } from './log-lines.ts'

/** Starts the services and two workers as processes on loopback, and passes on their logs and `options`. */
export async function openShop(onLine: (line: LogLine) => void, options: readonly string[] = []) {
  const running = new Map<ChildProcess, string>()

  async function open(name: string, ...args: string[]): Promise<string> {
    const stdio = ['ignore', 'pipe', 'inherit', 'ipc'] as const
    const child = fork(new URL(`${name}.ts`, import.meta.url), [...args, ...options], { stdio: [...stdio] })
    if (child.stdout) createInterface(child.stdout).on('line', (text) => onLine(JSON.parse(text) as LogLine))
    running.set(child, name)
    // If a service fails, the shop ends, and ends the others. One of its workers may be killed.
    child.once('exit', (code, signal) => code !== 0 && `${name} ${signal}` !== 'worker SIGKILL' && process.exit(1))
    child.once('close', () => running.delete(child))
    return String((await once(child, 'message'))[0])
  }

  /** Closes processes in this order: the running tasks of the first ones still reach the others. */
  async function close(...names: string[]): Promise<void> {
    const all = Array.from(running)
    for (const [child] of names.flatMap((name) => all.filter(([, known]) => known === name))) {
      if (process.platform === 'win32') child.send('close')
      else child.kill('SIGTERM')
      await once(child, 'close')
    }
  }

  const warehouse = open('warehouse')
  process.env['DATABASE_URL'] ??= await open('database')
  const workers = Promise.all([open('worker'), open('worker')])
  const gateway = await open('gateway', await open('orders', await warehouse), await warehouse, ...(await workers))
  const services = ['gateway', 'orders', 'warehouse']
  return { gateway, closeServices: () => close(...services), close: () => close(...services, 'worker', 'database') }
}
