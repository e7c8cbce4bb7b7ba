// Installs what the tests and the benchmarks install at their first run. In CI, the downloads overlap with the tests.
import { readdirSync } from 'node:fs'
import { installPeers } from '../bench/harness/library.ts'
import { installFixture } from '../test/fixtures/install.ts'

const fixtures = readdirSync(new URL('../test/fixtures', import.meta.url), { withFileTypes: true })
for (const { name } of fixtures.filter((entry) => entry.isDirectory())) installFixture(name)
installPeers()
