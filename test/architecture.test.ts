import { describe, expect, it } from 'vitest'
import manifest from '../package.json' with { type: 'json' }
import { wrongCircles } from './architecture/circles.ts'
import { wrongExports } from './architecture/exports.ts'
import { helpersWithOneUser, notESModules, syntaxOfLaterNodes, tooLong, vagueNames } from './architecture/files.ts'
import { arrows, wrongArrows, wrongPackages, wrongStorages } from './architecture/imports.ts'
import { type Lockfile, wrongLockfile } from './architecture/lockfile.ts'
import { patternsAsObjects } from './architecture/patterns.ts'
import { importsOf, pathsOf, readSource, type SourceFile } from './architecture/source-file.ts'

const paths = pathsOf('src/**/*.*')
const sources = paths.map(readSource)
const packages = '{,bench/,site/,test/mutation/,test/fixtures/*/}'
const lockfiles = pathsOf(`${packages}package-lock.json`)
const declared = Object.keys(manifest.peerDependencies)

/** The sources of the entries of `exports`. */
const entries = Object.values(manifest.exports).flatMap((entry) =>
  typeof entry === 'string' ? [] : [entry['logical-context-source'].slice(2)],
)

describe('the sources', () => {
  it('are found', () => {
    expect(paths).toContain('src/context/storage.ts')
  })

  it('need no package besides those of the app', () => {
    expect(manifest).not.toHaveProperty('dependencies')
  })

  it('import along the arrows', () => {
    expect(wrongArrows(sources)).toEqual([])
  })

  it('import each other in no circle', () => {
    expect(wrongCircles(sources)).toEqual([])
  })

  it('import packages in the leaves only, and load them when they are needed', () => {
    expect(wrongPackages(sources, declared)).toEqual([])
  })

  it('make their storage in one place', () => {
    expect(wrongStorages(sources)).toEqual([])
  })

  it('are short', () => {
    expect(tooLong(sources)).toEqual([])
  })

  it('hold an idea each: a short helper with one user is in the file of its user', () => {
    expect(helpersWithOneUser(sources, entries)).toEqual([])
  })

  it('are ES modules', () => {
    expect(notESModules(sources)).toEqual([])
  })

  it('are in the syntax of the oldest Node that is supported', () => {
    expect(syntaxOfLaterNodes(sources)).toEqual([])
  })

  it('are in that syntax too where tests and examples run them without a compiler', () => {
    const run = pathsOf('{test,examples}/**/*.ts').filter((path) => !/\.test\.ts$|^test\/fixtures\//.test(path))

    expect(syntaxOfLaterNodes(run.map(readSource))).toEqual([])
  })

  it('are exported at the path where they are', () => {
    expect(wrongExports(manifest, paths)).toEqual([])
  })
})

describe('docs/architecture.md', () => {
  const { text } = readSource('docs/architecture.md')

  it('is one page', () => {
    expect(text.split('\n').length).toBeLessThanOrEqual(70)
    expect(text.split(/\s+/).length).toBeLessThanOrEqual(700)
  })

  it('names files of the rooms that exist', () => {
    const named = Array.from(text.matchAll(/ ([a-z]+\/[\w-]+\.ts)\b/g), ([, path]) => `src/${path}`)

    expect(named.length).toBeGreaterThan(15)
    expect(named.filter((path) => !paths.includes(path))).toEqual([])
  })

  it('has the rooms and the imports that are allowed', () => {
    const rows = Array.from(text.matchAll(/^\| ([a-z]+) +\| .* \| (.*) \|$/gm), ([, room, rooms = '']) => [
      room,
      rooms.trim() === 'imports' || rooms.trim() === 'nothing' ? [] : rooms.trim().split(', '),
    ])
    const rooms = Object.entries(arrows).filter(([room]) => !room.endsWith('.ts'))

    expect(new Map(rows.slice(1) as [string, string[]][])).toEqual(
      new Map(rooms.map(([room, allowed]) => [room, allowed.filter((other) => !other.endsWith('.ts'))])),
    )
  })
})

describe('the files of the repository', () => {
  it('have names that describe their content', () => {
    expect(vagueNames(pathsOf('{src,test,examples,bench,docs,scripts}/**/*'))).toEqual([])
  })

  it.each(lockfiles)('lock the dependencies for every registry and platform in %s', (path) => {
    expect(wrongLockfile(JSON.parse(readSource(path).text) as Lockfile)).toEqual([])
  })

  it('have a lockfile next to every package.json', () => {
    const manifests = pathsOf(`${packages}package.json`)

    expect(lockfiles).toEqual(manifests.map((path) => path.replace('package.json', 'package-lock.json')))
  })
})

describe('the tests', () => {
  it('give toMatchObject no patterns, which any text would match', () => {
    expect(patternsAsObjects(pathsOf('test/**/*.test.ts').map(readSource))).toEqual([])
  })
})

describe('patternsAsObjects', () => {
  it.each([
    ['a property', 'expect(error).toMatchObject({ message: /boom/ })'],
    ['a property deep inside', 'expect(errors).toMatchObject([{ cause: { message: /boom/ } }])'],
    ['an item', 'expect(texts).toMatchObject([/boom/])'],
  ])('finds a pattern as %s', (_, text) => {
    expect(patternsAsObjects([{ path: 'test/a.test.ts', text }])).toEqual([
      'test/a.test.ts:1 expects a pattern: use stringMatching().',
    ])
  })

  it.each([
    ['stringMatching()', 'expect(error).toMatchObject({ message: expect.stringMatching(/boom/) })'],
    ['another matcher', 'expect(error).toEqual({ pattern: /boom/ })'],
  ])('lets %s pass', (_, text) => {
    expect(patternsAsObjects([{ path: 'test/a.test.ts', text }])).toEqual([])
  })
})

describe('wrongArrows', () => {
  it.each<[name: string, path: string, text: string, problem: string]>([
    [
      'an arrow upwards',
      'src/context/a.ts',
      "import { b } from '../tasks/b.ts'",
      'imports src/tasks/b.ts: context may',
    ],
    ['a leaf in a leaf', 'src/clients/a.ts', "import '../bridges/b.ts'", 'clients may import context, variables'],
    ['a type', 'src/tasks/a.ts', "import type { B } from '../propagators/b.ts'", 'imports src/propagators/b.ts'],
    ['a type by import()', 'src/tasks/a.ts', "type B = import('../clients/b.ts').B", 'imports src/clients/b.ts'],
    ['a re-export', 'src/variables/a.ts', "export * from '../tasks/b.ts'", 'imports src/tasks/b.ts'],
    ['a lazy import', 'src/tasks/a.ts', "await import('../clients/b.ts')", 'imports src/clients/b.ts'],
    ['the root index', 'src/tasks/a.ts', "import '../index.ts'", 'imports src/index.ts'],
    ['a file outside src', 'src/tasks/a.ts', "import '../../test/b.ts'", 'imports test/b.ts'],
    ['the package itself', 'src/tasks/a.ts', "import 'logical-context/propagators'", 'imports the package itself'],
    ['an unknown room', 'src/extras/a.ts', '', 'src/extras/a.ts is in no room'],
  ])('finds %s', (_, path, text, problem) => {
    expect(wrongArrows([{ path, text }])).toEqual([expect.stringContaining(problem)])
  })

  it('allows a room to import itself, the rooms below it, and the shared files', () => {
    const text =
      "import './b.ts'\nimport '../tasks/c.ts'\nimport '../errors.ts'\nimport type { D } from '../options.ts'"

    expect(wrongArrows([{ path: 'src/middleware/a.ts', text }])).toEqual([])
  })
})

describe('syntaxOfLaterNodes', () => {
  it.each(['using a = b()', 'async () => { await using a = b() }'])('finds %s', (text) => {
    expect(syntaxOfLaterNodes([{ path: 'src/a.ts', text: `\n${text}` }])).toEqual(["src/a.ts:2 declares with 'using'."])
  })

  it('accepts other declarations and names', () => {
    expect(syntaxOfLaterNodes([{ path: 'src/a.ts', text: 'const using = 1\nlet a = using' }])).toEqual([])
  })
})

describe('wrongCircles', () => {
  it('finds files that import each other at run time', () => {
    const files = [
      { path: 'src/tasks/a.ts', text: "import './b.ts'" },
      { path: 'src/tasks/b.ts', text: "import './c.ts'" },
      { path: 'src/tasks/c.ts', text: "import './a.ts'" },
    ]

    expect(wrongCircles(files)).toEqual([
      'Files import each other at run time: src/tasks/a.ts, src/tasks/b.ts, src/tasks/c.ts.',
    ])
  })

  it('finds rooms whose types import each other', () => {
    const files = [
      { path: 'src/tasks/a.ts', text: "import type { B } from '../context/b.ts'" },
      { path: 'src/context/b.ts', text: "import type { C } from '../tasks/c.ts'" },
      { path: 'src/tasks/c.ts', text: '' },
    ]

    expect(wrongCircles(files)).toEqual(['Rooms import each other: tasks, context.'])
  })

  it('accepts files of one room whose types import each other', () => {
    const files = [
      { path: 'src/tasks/a.ts', text: "import './b.ts'" },
      { path: 'src/tasks/b.ts', text: "import type { A } from './a.ts'" },
    ]

    expect(wrongCircles(files)).toEqual([])
  })
})

describe('wrongPackages', () => {
  it.each<[name: string, path: string, text: string, problem: string]>([
    [
      'a package below the leaves',
      'src/tasks/a.ts',
      "import type { Logger } from 'pino'",
      'only the leaves may import',
    ],
    [
      'an undeclared package',
      'src/clients/a.ts',
      "import type { A } from '@scope/a/b'",
      "'@scope/a': it is not a peer",
    ],
    ['a loaded integration', 'src/bridges/a.ts', "import { pino } from 'pino'", "loads 'pino' with us"],
    ['an inline type import', 'src/bridges/a.ts', "import { type Logger } from 'pino'", "loads 'pino' with us"],
    [
      'a package of another leaf',
      'src/clients/a.ts',
      "import { Module } from '@nestjs/common'",
      "loads '@nestjs/common'",
    ],
    ['a builtin without its prefix', 'src/tasks/a.ts', "import 'util'", "write 'node:util'"],
    ['a builtin that is slow to import', 'src/tasks/a.ts', "import { inspect } from 'node:util'", 'getBuiltinModule'],
    ['another one', 'src/tasks/a.ts', "import { type Server, get } from 'node:http'", 'getBuiltinModule'],
  ])('finds %s', (_, path, text, problem) => {
    expect(wrongPackages([{ path, text }], ['pino', '@nestjs/common'])).toEqual([expect.stringContaining(problem)])
  })

  it('allows a leaf types, lazy imports and what is declared for it', () => {
    const text = "import { Module } from '@nestjs/common'\nimport type { Logger } from 'pino'\nawait import('pino')"

    expect(wrongPackages([{ path: 'src/middleware/a.ts', text }], ['pino', '@nestjs/common'])).toEqual([])
  })
})

describe('wrongStorages', () => {
  const storage = { path: 'src/context/storage.ts', text: "import { AsyncLocalStorage } from 'node:async_hooks'" }

  it('finds a second file that imports node:async_hooks', () => {
    const second = { path: 'src/tasks/a.ts', text: "import { AsyncResource } from 'async_hooks'" }

    expect(wrongStorages([storage, second])).toEqual([expect.stringContaining('src/tasks/a.ts:1 imports')])
  })

  it('finds a file without an importer', () => {
    expect(wrongStorages([])).toEqual([expect.stringContaining('has 0 imports')])
  })
})

describe('the checks of files', () => {
  it('find a file of 301 lines, and none of 300', () => {
    const fileOf = (lines: number): SourceFile => ({ path: `src/${lines}.ts`, text: 'a\n'.repeat(lines) })

    expect(tooLong([fileOf(300), fileOf(301)])).toEqual([expect.stringContaining('src/301.ts has 301 lines')])
  })

  it('find a short file with one user, and none with two, of an entry, or of an index', () => {
    const fileOf = (path: string, ...imported: string[]): SourceFile => ({
      path,
      text: imported.map((name) => `import './${name}.ts'\n`).join('') + '//\n'.repeat(60),
    })
    const helpers = ['helper', 'shared', 'public', 'entry'].map((name) => ({ path: `src/tasks/${name}.ts`, text: '' }))
    const files = [
      fileOf('src/tasks/one.ts', 'helper', 'shared', 'entry'),
      fileOf('src/tasks/two.ts', 'shared'),
      fileOf('src/tasks/index.ts', 'public'),
      ...helpers,
    ]

    expect(helpersWithOneUser(files, ['src/tasks/entry.ts'])).toEqual([
      'src/tasks/helper.ts has 1 lines and one user: move it into src/tasks/one.ts.',
    ])
  })

  it('find vague folders and files', () => {
    const found = vagueNames(['src/utils/a.ts', 'test/helpers.ts', 'src/context/core.ts', 'src/tasks/spawn.ts'])

    expect(found).toHaveLength(3)
  })

  it.each([
    ['require()', 'src/a.ts', "const a = require('a')"],
    ['module.exports', 'src/a.ts', 'module.exports = 1'],
    ['__dirname', 'src/a.ts', 'join(__dirname)'],
    ['a .cts file', 'src/a.cts', ''],
  ])('find CommonJS by %s', (_, path, text) => {
    expect(notESModules([{ path, text }])).toHaveLength(1)
  })

  it('do not take a comment for CommonJS', () => {
    expect(notESModules([{ path: 'src/a.ts', text: '// require() fails here\n/** __dirname */' }])).toEqual([])
  })
})

describe('wrongExports', () => {
  const good = { 'logical-context-source': './src/a/b.ts', types: './dist/a/b.d.ts', default: './dist/a/b.js' }
  const files = ['src/a/b.ts', 'src/c/index.ts']
  const index = {
    'logical-context-source': './src/c/index.ts',
    types: './dist/c/index.d.ts',
    default: './dist/c/index.js',
  }

  it('accepts mirrored files and indexes', () => {
    expect(wrongExports({ type: 'module', exports: { './a/b': good, './c': index } }, files)).toEqual([])
  })

  it.each<[name: string, exports: Record<string, unknown>, problem: string]>([
    ['a file that does not exist', { './a/z': good }, 'neither src/a/z.ts nor src/a/z/index.ts'],
    [
      'a file at another path',
      { './a/b': { ...good, 'logical-context-source': './src/c/index.ts' } },
      "expected './src/a/b.ts'",
    ],
    ['a build at another path', { './a/b': { ...good, default: './dist/b.js' } }, "expected './dist/a/b.js'"],
    [
      'a missing condition',
      { './a/b': { types: good.types, default: good.default } },
      'expected exactly the conditions',
    ],
    [
      'conditions in another order',
      { './a/b': { default: '', 'logical-context-source': '', types: '' } },
      'in this order',
    ],
    ['a plain path', { './a/b': './dist/a/b.js' }, 'expected exactly the conditions'],
  ])('finds %s', (_, exports, problem) => {
    expect(wrongExports({ type: 'module', exports: { './c': index, ...exports } }, files)).toEqual([
      expect.stringContaining(problem),
    ])
  })

  it('finds an index without a subpath, and a package that is not ESM', () => {
    expect(wrongExports({ exports: {} }, files)).toEqual([
      "package.json: expected 'type' to be 'module'.",
      expect.stringContaining('src/c/index.ts is an index'),
    ])
  })
})

describe('wrongLockfile', () => {
  it('finds the address of a registry, and a platform that is missing', () => {
    const found = wrongLockfile({
      packages: {
        'node_modules/a': { resolved: 'https://registry.example/a.tgz' },
        'node_modules/b': { optionalDependencies: { a: '1.0.0', 'b-linux': '1.0.0' } },
      },
    })

    expect(found).toEqual([
      expect.stringContaining('node_modules/a is resolved to https://registry.example'),
      'node_modules/b needs b-linux on another platform, which is not locked.',
    ])
  })
})

describe('importsOf', () => {
  it('distinguishes static, type and lazy imports', () => {
    const text = "import a from 'a'\nimport type { B } from 'b'\nexport type { C } from 'c'\nawait import('d')"

    expect(importsOf({ path: 'src/a.ts', text }).map(({ specifier, kind }) => [specifier, kind])).toEqual([
      ['a', 'static'],
      ['b', 'type'],
      ['c', 'type'],
      ['d', 'lazy'],
    ])
  })
})
