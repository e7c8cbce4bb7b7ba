import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium } from 'playwright-core'
import { findProgram } from '../servers/server.ts'

/** Undefined if it is not installed: `bash scripts/install-servers.sh` installs it. */
export const chromiumProgram: string | undefined = findProgram('chromium')

/** Without the services of Google, which a test does not need. */
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** A browser with a profile of its own. */
export async function startChromium(): Promise<BrowserContext & AsyncDisposable> {
  const profile = await mkdtemp(join(tmpdir(), 'logical-context-chromium-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: String(chromiumProgram),
    headless: true,
    args,
    viewport: { width: 1200, height: 640 },
    reducedMotion: 'reduce',
  })
  return Object.assign(context, {
    async [Symbol.asyncDispose]() {
      await context.close()
      await rm(profile, { recursive: true, force: true })
    },
  })
}
