// Plain JavaScript without dependencies: it has to run, and to refuse, on the Node versions we do not support.
import { existsSync, readFileSync } from 'node:fs'

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const required = String(manifest.engines.node)

if (!satisfies(process.version, required)) {
  const pinned = new URL('../node_modules/node/bin/', import.meta.url)
  const why = ['node', 'node.exe'].some((file) => existsSync(new URL(file, pinned)))
    ? "The Node this repository brings is installed, but was not used: run it through an npm script, such as 'npm test'."
    : "The Node this repository brings is not installed: run 'npm ci' and, where install scripts are switched off, " +
      "'npm rebuild node --ignore-scripts=false' after it. Or use a Node of your own in that range."
  console.error(`Node ${process.version} is running this, but ${required} is needed.\n${why}`)
  process.exit(1)
}

/**
 * Whether a version is in a range of the form `>=1.2.3 <2 || >=3`, the only form the engines field uses.
 *
 * @param {string} version
 * @param {string} range
 * @returns {boolean}
 */
export function satisfies(version, range) {
  return range.split('||').some((part) =>
    part
      .trim()
      .split(/\s+/)
      .every((comparator) => {
        const match = /^(>=|<)(\d+(?:\.\d+){0,2})$/.exec(comparator)
        if (match === null) throw new TypeError(`engines.node: expected '>=1.2.3' or '<1.2.3', got '${comparator}'.`)
        const order = compare(version, match[2] ?? '')
        return match[1] === '<' ? order < 0 : order >= 0
      }),
  )
}

/**
 * @param {string} left
 * @param {string} right
 * @returns {number}
 */
function compare(left, right) {
  const [a, b] = [left, right].map((version) => version.replace(/^v/, '').replace(/-.*$/, '').split('.').map(Number))
  for (const place of [0, 1, 2]) {
    const difference = (a?.[place] ?? 0) - (b?.[place] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
