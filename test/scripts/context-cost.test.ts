import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const root = new URL('../../', import.meta.url)

it('docs/context-cost.md has the figures of scripts/context-cost.ts', async () => {
  const args = ['--conditions=logical-context-source', 'scripts/context-cost.ts']
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root })
  const page = await readFile(new URL('docs/context-cost.md', root), 'utf8')

  expect(figuresOf(stdout)).toHaveLength(13)
  // If this fails, copy the figures of the script to the page.
  expect(figuresOf(page)).toEqual(figuresOf(stdout))
})

/** The rows of tables whose second cell is a number. The first cells have words, which differ. */
function figuresOf(text: string): string[][] {
  return text
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim().replaceAll(',', '')))
    .filter(([, , second = '']) => /^\d+$/.test(second))
    .map((cells) => cells.slice(2, 4))
}
