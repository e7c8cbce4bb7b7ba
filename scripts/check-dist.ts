import { strict as assert } from 'node:assert'
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { rolldown } from 'rolldown'
import { internalTypes } from './public-declarations.ts'

/**
 * Checks the built package: each subpath loads, exports what its source exports, shares one storage with the others, and
 * comes with a source map, and its declarations reach no type that no subpath exports. The index and the plugin load few
 * files, because each file slows the start of a process.
 */
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
  exports: Record<string, string | { 'logical-context-source': string; types: string; default: string }>
}
const targets = Object.entries(manifest.exports).flatMap(([subpath, target]) =>
  typeof target === 'string'
    ? []
    : [{ subpath, source: target['logical-context-source'], built: target.default, types: target.types }],
)

// The declarations, as a strict user compiles them. Those of the engines have errors of their own, which are not ours.
const compiled = spawnSync('tsc', ['-p', 'tsconfig.dist.json', '--pretty', 'false'], { encoding: 'utf8', shell: true })
const ours = compiled.stdout.split('\n').filter((line) => line.startsWith('dist/') || line.startsWith('error '))
assert.deepEqual(ours, [], 'the declarations of the build do not compile')

assert.deepEqual(internalTypes(targets.map(({ types }) => types.replace('./', ''))), [], 'internal types are published')

/** The names that a module exports, in a process of its own. */
function namesOf(path: string): string[] {
  const code = `console.log(JSON.stringify(Object.keys(await import(${JSON.stringify(pathToFileURL(path).href)}))))`
  const args = ['--conditions=logical-context-source', '--input-type=module', '-e', code]
  return (JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as string[]).toSorted()
}

for (const { subpath, source, built } of targets) {
  assert.deepEqual(namesOf(built), namesOf(source), `${subpath}: the build exports other names than the source`)
}

for (const file of globSync('dist/**/*.js')) {
  const text = readFileSync(file, 'utf8')
  // An entry that only re-exports has no code to map.
  const hasCode = /^(?:async )?function |^(?:const|let|class|var) /m.test(text)
  assert(!hasCode || text.includes('//# sourceMappingURL='), `${file} has no source map`)
}

/** The files of ours that a built file loads at its import, itself included. */
function filesOf(path: string, found = new Set<string>()): Set<string> {
  if (found.has(path)) return found
  found.add(path)
  for (const [, specifier = ''] of readFileSync(path, 'utf8').matchAll(
    /^(?:import|export)[^'"]*["'](\.[^'"]+)["']/gm,
  )) {
    filesOf(new URL(specifier, pathToFileURL(path)).pathname, found)
  }
  return found
}

// On a Node that is too old, each subpath says so in one sentence, for `import` and for `require`.
const oldNode = "data:text/javascript,Object.defineProperty(process, 'version', { value: 'v20.20.2' })"
const urls = targets.map(({ built }) => pathToFileURL(built).href)
for (const load of ['import(url)', "process.getBuiltinModule('module').createRequire(url)(new URL(url).pathname)"]) {
  const code = `for (const url of ${JSON.stringify(urls)}) {
    try { await ${load}; console.log('loaded', url) } catch (error) { console.log(error.message) }
  }`
  const said = execFileSync(process.execPath, ['--import', oldNode, '--input-type=module', '-e', code], {
    encoding: 'utf8',
  })
  const sentence = /^logical-context supports Node .*, and this is Node v20\.20\.2: install a supported version\.$/gm
  assert.equal(said.match(sentence)?.length, urls.length, `an old Node is not refused by ${load}: ${said}`)
}

const limits = [
  ['./dist/index.js', 2],
  ['./dist/middleware/fastify.js', 4],
] as const
for (const [path, limit] of limits) {
  const files = filesOf(new URL(path, pathToFileURL(`${process.cwd()}/`)).pathname)
  assert(
    files.size <= limit,
    `${path} loads ${files.size} files, at most ${limit} are allowed: ${[...files].join(', ')}`,
  )
  const code = `
    const before = process.moduleLoadList.length
    await import(${JSON.stringify(pathToFileURL(path).href)})
    console.log(process.moduleLoadList.slice(before).join('\\n'))`
  const loaded = execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })
  const modules = loaded.match(/^NativeModule (?!internal\/).*$/gm)
  assert.deepEqual(modules, null, `${path} loads other modules of Node than async_hooks and diagnostics_channel`)
}

const [index, variables] = await Promise.all(
  ['dist/index.js', 'dist/variables/index.js'].map((path) => import(pathToFileURL(path).href) as Promise<unknown>),
)
const { bind, runInScope } = index as typeof import('../src/index.ts')
const { baggage, requestId } = variables as typeof import('../src/variables/index.ts')
const seen = runInScope(() => {
  requestId.set('one storage')
  return requestId.get()
})
assert.equal(seen, 'one storage')

/** A late use is reported at the line of the program, not at a line of the build. */
const sites: string[] = []
const late = runInScope(
  () => {
    requestId.delete()
    return bind((use: () => unknown) => use())
  },
  { lateWrites: 'report', onLateUse: ({ callSite }) => sites.push(callSite) },
)
late(() => baggage.get())
late(() => requestId.get())
late(() => requestId.set('late'))
assert.throws(() => late(() => requestId.getOrThrow()))
assert.equal(sites.length, 4)
for (const site of sites) assert.match(site, /check-dist\.ts/, 'a late use is reported at a line of the build')

// With source maps, as with tsx, the frames of the installed package have the paths of the source.
const app = mkdtempSync(join(tmpdir(), 'check dist '))
for (const path of ['dist', 'package.json']) {
  cpSync(path, join(app, 'node_modules/logical-context', path), { recursive: true })
}
writeFileSync(
  join(app, 'app.mjs'),
  `import { EventEmitter } from 'node:events'
import { bind, ContextVar, runInScope } from 'logical-context'
import { doctor } from 'logical-context/doctor'
const on = doctor({ onFinding() {}, summary: false })
const user = new ContextVar('user')
const bus = new EventEmitter()
const options = { lateWrites: 'report', onLateUse: ({ callSite }) => console.log(callSite) }
const late = runInScope(() => bus.on('order', () => {}) && bind((use) => use()), options)
runInScope(() => bus.emit('order'))
late(() => user.get())
late(() => user.set('late'))
for (const { kind, callSite } of on.findings) console.log(kind, callSite)
`,
)
// The same in a bundle of the program. That of esbuild in CommonJS has no `import.meta`.
for (const [file, format] of [
  ['bundle.mjs', 'esm'],
  ['bundle.cjs', 'cjs'],
] as const) {
  const transform = format === 'cjs' ? { define: { 'import.meta.url': 'undefined' } } : {}
  const bundle = await rolldown({ input: join(app, 'app.mjs'), platform: 'node', transform })
  await bundle.write({ file: join(app, file), format, sourcemap: true })
  await bundle.close()
}
for (const file of ['app.mjs', 'bundle.mjs', 'bundle.cjs']) {
  const found = execFileSync(process.execPath, ['--enable-source-maps', join(app, file)], { encoding: 'utf8' })
  assert.deepEqual(
    Array.from(found.matchAll(/^(\w+) .*app\.mjs:(\d+):/gm), ([, kind, line]) => `${kind} ${line}`),
    ['at 10', 'at 11', 'swapped 8', 'late 10', 'late 11'],
    `with source maps, the lines of the program are not found in ${file}`,
  )
}
rmSync(app, { recursive: true })
console.log(`${targets.length} subpaths are built.`)
