import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type ReceivedSpan, startOtlpReceiver } from './otlp-receiver.ts'

export interface TracedDemo {
  readonly spans: readonly ReceivedSpan[]
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `npm run demo -- --otlp URL` with its own receiver. `nodeOptions` are for the processes of the demo. */
export async function runTracedDemo(nodeOptions: readonly string[] = []): Promise<TracedDemo> {
  const receiver = await startOtlpReceiver()
  const args = [
    '--conditions=logical-context-source',
    ...nodeOptions,
    'examples/server/demo.ts',
    '--otlp',
    receiver.url,
  ]
  const child = spawn(process.execPath, args, {
    cwd: join(import.meta.dirname, '..'),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  receiver.close()
  return { spans: receiver.spans, code: code as number | null, stdout, stderr }
}
