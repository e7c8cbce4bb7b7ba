// `node scripts/english.ts src/tasks`: counts the words that our English avoids, by folder. With paths, prints each of them.
import { readFileSync } from 'node:fs'
import { findPatterns, textFiles } from '../test/docs/english.ts'

const paths = process.argv.slice(2)
const counts = new Map<string, number>()
for (const file of textFiles()) {
  if (paths.length > 0 && !paths.some((path) => file.startsWith(path))) continue
  for (const { line, pattern, text } of findPatterns(readFileSync(file, 'utf8'))) {
    const folder = file.split('/').slice(0, -1).slice(0, 2).join('/')
    counts.set(folder, (counts.get(folder) ?? 0) + 1)
    if (paths.length > 0) console.log(`${file}:${line}: ${pattern.name} → ${pattern.write}\n    ${text.slice(0, 140)}`)
  }
}
console.table(Object.fromEntries(counts))
console.log(`english: ${[...counts.values()].reduce((sum, count) => sum + count, 0)} places`)
