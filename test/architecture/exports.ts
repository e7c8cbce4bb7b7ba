/** The part of package.json that says what the package offers. */
export interface Manifest {
  readonly type?: string
  readonly exports: Readonly<Record<string, unknown>>
}

const conditions = ['logical-context-source', 'types', 'default']

/** Each subpath is one source file at the mirrored path; each folder's index is a subpath. */
export function wrongExports(manifest: Manifest, paths: readonly string[]): string[] {
  const type = manifest.type === 'module' ? [] : ["package.json: expected 'type' to be 'module'."]
  const indexes = paths
    .filter((path) => /^src\/.+\/index\.ts$/.test(path))
    .filter((path) => !JSON.stringify(manifest.exports).includes(`"./${path}"`))
    .map((path) => `${path} is an index, but no entry of exports has it as its source.`)
  const entries = Object.entries(manifest.exports).flatMap(([subpath, entry]) => wrongEntry(subpath, entry, paths))
  return [...type, ...indexes, ...entries]
}

function wrongEntry(subpath: string, entry: unknown, paths: readonly string[]): string[] {
  const place = `exports['${subpath}']`
  if (subpath === './package.json') return entry === subpath ? [] : [`${place}: expected '${subpath}'.`]
  if (typeof entry !== 'object' || entry === null || Object.keys(entry).join() !== conditions.join()) {
    return [`${place}: expected exactly the conditions ${conditions.join(', ')}, in this order.`]
  }
  const name = subpath === '.' ? 'index' : subpath.slice(2)
  const file = [name, `${name}/index`].find((candidate) => paths.includes(`src/${candidate}.ts`))
  if (file === undefined) return [`${place}: there is neither src/${name}.ts nor src/${name}/index.ts.`]
  const expected = [`./src/${file}.ts`, `./dist/${file}.d.ts`, `./dist/${file}.js`]
  const actual: unknown[] = Object.values(entry)
  return expected.flatMap((path, index) =>
    actual[index] === path
      ? []
      : [`${place}.${conditions[index]}: expected '${path}', got '${String(actual[index])}'.`],
  )
}
