import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'

/** Node's own error, as if the package were not installed. */
const hooks = `
  import { registerHooks } from 'node:module'
  const missing = ['pg-boss', '@nats-io/nats-core', 'jose']
  registerHooks({
    resolve(specifier, context, next) {
      // No folder above this one has packages.
      return next(specifier, missing.includes(specifier) ? { ...context, parentURL: 'file:///app/index.js' } : context)
    },
  })
`
const program = `
  import { natsContext } from 'logical-context/messages/nats'
  import { openBoss } from 'logical-context/messages/pg-boss'
  import { signedContext } from 'logical-context/messages/signed-context'

  const key = { kty: 'oct', k: 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA' }
  const calls = [
    () => openBoss(),
    () => natsContext().publish({ publish() {} }, 'jobs'),
    () => signedContext([], { keys: { a: key } }),
  ]
  const failures = calls.map((call) => call().catch(({ code, message }) => [code, message]))
  console.log(JSON.stringify(await Promise.all(failures)))
`

describe('an engine whose package is not installed', () => {
  it('rejects with one sentence that names the package and the command that installs it', () => {
    const url = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`
    const args = ['--conditions=logical-context-source', '--import', url(hooks), '--input-type=module', '-e', program]

    const failures: unknown = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }))

    const because = 'which is not installed. Install it: npm install'
    expect(failures).toEqual([
      ['LCTX_PACKAGE_MISSING', `openBoss needs the package 'pg-boss', ${because} pg-boss`],
      ['LCTX_PACKAGE_MISSING', `natsContext needs the package '@nats-io/nats-core', ${because} @nats-io/nats-core`],
      ['LCTX_PACKAGE_MISSING', `signedContext needs the package 'jose', ${because} jose`],
    ])
  })
})
