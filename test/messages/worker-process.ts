import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { WorkerProcess } from 'logical-context/testing'
import { onTestFinished } from 'vitest'

/** Starts a program of `workers`. */
export function startWorkerProcess(engine: string, ...args: readonly string[]): WorkerProcess {
  const child = fork(fileURLToPath(new URL(`workers/${engine}.ts`, import.meta.url)), args, {
    execArgv: ['--conditions=logical-context-source'],
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit')
  const kill = async () => {
    child.kill('SIGKILL')
    await ended
  }
  onTestFinished(kill)
  const line = once(createInterface(child.stdout as NodeJS.ReadableStream), 'line')
  const failed = ended.then(([code, signal]) => Promise.reject(new Error(`The worker ended: ${code ?? signal}.`)))
  return { seen: Promise.race([line, failed]).then(([text]) => JSON.parse(String(text)) as never), kill }
}
