// First: with a Node that is too old, its message is printed, not a stack trace of the test runner.
import './scripts/check-node.js'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  // The package imports itself by name, from source: tests and examples read as a user's code does.
  resolve: { conditions: ['logical-context-source'] },
  ssr: { resolve: { conditions: ['logical-context-source'] } },
  test: {
    include: ['test/**/*.test.ts'],
    execArgv: ['--conditions=logical-context-source', '--expose-gc'],
    maxWorkers: 2,
    // Enough for a machine that has other work: no test waits for the clock.
    testTimeout: 30_000,
  },
})
