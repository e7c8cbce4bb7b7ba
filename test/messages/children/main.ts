import { children, seen } from './context.ts'

/** Prints what it sees, and with `--nested` what its own child sees. */
await children.run(async () => {
  console.log(seen())
  if (!process.argv.includes('--nested')) return
  const { execFileSync } = await import('node:child_process')
  const args = ['--conditions=logical-context-source', String(process.argv[1])]
  console.log(execFileSync(process.execPath, args, { env: children.env('isolate'), encoding: 'utf8' }).trim())
})
