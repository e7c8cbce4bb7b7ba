// Installs what the tests and the benchmarks install at their first run. In CI, the downloads overlap with the tests.
import { globSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { installPeers } from '../bench/harness/library.ts'
import { installFixture } from '../test/fixtures/install.ts'

const lockfiles = globSync('test/fixtures/*/package-lock.json', { cwd: join(import.meta.dirname, '..') })
for (const lockfile of lockfiles) installFixture(basename(dirname(lockfile)))
installPeers()
