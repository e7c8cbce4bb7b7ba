import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { findProgram } from './server.ts'

export const kcatProgram = findProgram('kcat')

/** librdkafka's mock cluster of one broker, in a process of kcat. It is a mock: it keeps records in memory. */
export async function startKafkaMock(): Promise<{ brokers: string[]; stop: () => Promise<void> }> {
  const args = ['-b', 'mock', '-C', '-t', 'unused', '-X', 'test.mock.num.brokers=1', '-d', 'mock']
  const child: ChildProcess = spawn(String(kcatProgram), args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const brokers = await new Promise<string[]>((resolve, reject) => {
    ended.then(() => reject(new Error('kcat did not start.')), reject)
    createInterface(child.stderr as NodeJS.ReadableStream).on('line', (line) => {
      const [, found] = /bootstrap\.servers=(\S+)/.exec(line) ?? []
      if (found !== undefined) resolve(found.split(','))
    })
  })
  return {
    brokers,
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
