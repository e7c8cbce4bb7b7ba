import { matchesGlob } from 'node:path'
import { defineConfig } from 'vitest/config'
import base from '../../vitest.config.ts'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { leftOut, room } from './rooms.ts'

/** The first failing test kills a mutant, so the tests of the room run first. */
class RoomFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) =>
      room.tests.findIndex((pattern) => matchesGlob(moduleId, `**/${pattern}`))
    return files.toSorted((left, right) => rank(left) - rank(right))
  }
}

export default defineConfig({
  ...base,
  test: {
    include: [...room.tests],
    exclude: [...leftOut],
    execArgv: ['--conditions=logical-context-source'],
    setupFiles: ['test/mutation/expose-gc.ts'],
    // One thread for all files makes a mutant a third cheaper.
    isolate: false,
    // Mutants are instrumented and run at the same time, so a slow test did not fail.
    testTimeout: room.testTimeoutMs ?? 60_000,
    sequence: { sequencer: RoomFirst },
  },
})
