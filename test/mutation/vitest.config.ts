import { matchesGlob } from 'node:path'
import { defineConfig } from 'vitest/config'
import base from '../../vitest.config.ts'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { leftOut, room } from './rooms.ts'

/** The first test that fails ends a mutant: those of the room itself come first. */
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
    // One thread for all files: a mutant costs a third less.
    isolate: false,
    // Mutants run beside each other and instrumented: what takes long there has not failed.
    testTimeout: room.testTimeoutMs ?? 60_000,
    sequence: { sequencer: RoomFirst },
  },
})
