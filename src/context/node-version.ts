/** `engines.node` of `package.json`. */
export const supportedNodes = '>=22.22.2 <23 || >=24.14.1 <25 || >=26'
/** Below it, the platform lacks functions that the package calls. Above it, only fixes are missing. */
const oldestMajor = 22

/**
 * Says in one sentence that the version of Node is not supported: an error for a version that is too old to work, else a
 * warning on stderr. Bun and Deno are not checked: their number of a Node version is another one's.
 *
 * @throws {Error} if the package cannot work.
 */
export function checkNode({ version, versions }: Pick<NodeJS.Process, 'version' | 'versions'>): void {
  if ('bun' in versions || 'deno' in versions || satisfies(version, supportedNodes)) return
  const sentence = `logical-context supports Node ${supportedNodes}, and this is Node ${version}: install a supported version.`
  if (partsOf(version)[0] < oldestMajor) throw new Error(sentence)
  process.emitWarning(sentence)
}

type Parts = [major: number, minor: number, patch: number]

/** Whether a version is in a range of the form `>=1.2.3 <2 || >=3`. */
function satisfies(version: string, range: string): boolean {
  return range.split('||').some((part) =>
    part
      .trim()
      .split(' ')
      .every((comparator) => {
        const isFloor = comparator.startsWith('>=')
        const [order = 0] = partsOf(version)
          .map((number, place) => number - partsOf(comparator)[place as 0 | 1 | 2])
          .filter((difference) => difference !== 0)
        return isFloor ? order >= 0 : order < 0
      }),
  )
}

/** The numbers of a version, or of a comparator such as `<23`. */
function partsOf(text: string): Parts {
  const [major = 0, minor = 0, patch = 0] = text
    .replace(/^[^\d]+/, '')
    .split(/[.-]/, 3)
    .map(Number)
  return [major, minor, patch]
}
