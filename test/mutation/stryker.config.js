import { room } from './rooms.ts'

const name = process.env['MUTATION_ROOM']
const folder = '.cache/mutation'

/** Paths are relative to the repository, where scripts/mutate.ts starts Stryker. */
export default {
  mutate: room.mutate,
  testRunner: 'vitest',
  vitest: { configFile: 'test/mutation/vitest.config.ts', related: false },
  coverageAnalysis: 'perTest',
  concurrency: 2,
  // Stryker would change the compiler settings by an API that TypeScript 7 does not have.
  tsconfigFile: 'none',
  disableTypeChecks: false,
  // Results are kept, so that files can be mutated one after another. A changed file runs again.
  incremental: true,
  incrementalFile: `${folder}/${name}.incremental.json`,
  reporters: ['progress-append-only', 'json'],
  jsonReporter: { fileName: `${folder}/${name}.json` },
  tempDirName: `${folder}/sandbox`,
  ignorePatterns: ['.cache', 'dist', 'docs', 'examples'],
}
