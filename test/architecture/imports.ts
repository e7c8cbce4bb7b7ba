import { isBuiltin } from 'node:module'
import { type Import, importsOf, type SourceFile } from './source-file.ts'

/** Which rooms each room may import, besides itself and the shared files. */
export const arrows: Readonly<Record<string, readonly string[]>> = {
  context: [],
  variables: ['context'],
  tasks: ['context'],
  propagators: ['context', 'variables'],
  middleware: ['context', 'variables', 'tasks', 'propagators'],
  clients: ['context', 'variables', 'tasks', 'propagators'],
  messages: ['context', 'variables', 'tasks', 'propagators'],
  bridges: ['context', 'variables', 'tasks'],
  testing: ['context', 'variables', 'tasks', 'propagators', 'middleware', 'clients', 'messages', 'bridges'],
  doctor: ['context', 'variables', 'tasks'],
  inspector: ['context', 'variables', 'tasks', 'middleware', 'bridges', 'doctor', 'channels.ts'],
  'index.ts': ['context', 'variables', 'tasks', 'doctor'],
  'channels.ts': ['tasks', 'propagators'],
  'callbacks.ts': [],
  'errors.ts': [],
  'options.ts': [],
}
const shared = ['callbacks.ts', 'errors.ts', 'options.ts']
const leaves = ['middleware', 'clients', 'messages', 'bridges', 'testing', 'inspector']

/** The packages that are loaded with us; all others come as types, or when they are needed. */
const loadedWithUs: Readonly<Record<string, readonly string[]>> = {
  middleware: ['@nestjs/common', '@nestjs/core'],
}

/**
 * An import statement reads every export of a module of Node. Some of these load other modules when they are read, for
 * example all of undici.
 */
const slow = ['node:http', 'node:http2', 'node:util', 'node:fs', 'node:process']
const storageFile = 'src/context/storage.ts'

/** The rooms import each other along the arrows only. */
export function wrongArrows(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => {
    const room = roomOf(file.path)
    const allowed = arrows[room]
    if (allowed === undefined) return [`${file.path} is in no room: expected one of ${Object.keys(arrows).join(', ')}.`]
    return importsOf(file).flatMap(({ place, specifier, target }) => {
      if (/^logical-context(\/|$)/.test(specifier)) return [`${place} imports the package itself: import the file.`]
      if (target === undefined) return []
      const targetRoom = target.startsWith('src/') ? roomOf(target) : target
      if ([room, ...allowed, ...shared].includes(targetRoom)) return []
      return [`${place} imports ${target}: ${room} may import ${allowed.join(', ') || 'no other room'}.`]
    })
  })
}

/** Below the leaves nothing but Node itself; in the leaves each package is declared, and loaded only where it must be. */
export function wrongPackages(files: readonly SourceFile[], declared: readonly string[]): string[] {
  return files.flatMap((file) => {
    const room = roomOf(file.path)
    return packagesOf(file).flatMap(({ place, specifier, kind }) => {
      const name = packageName(specifier)
      if (isBuiltin(specifier)) {
        if (!specifier.startsWith('node:')) return [`${place} imports '${specifier}': write 'node:${specifier}'.`]
        if (!slow.includes(specifier) || kind !== 'static' || room === 'testing') return []
        return [
          `${place} imports '${specifier}': use 'import type', and 'process.getBuiltinModule' where it is needed.`,
        ]
      }
      if (!leaves.includes(room)) return [`${place} imports '${name}': only the leaves may import a package.`]
      if (!declared.includes(name)) return [`${place} imports '${name}': it is not a peer.`]
      if (kind !== 'static' || loadedWithUs[room]?.includes(name) === true) return []
      return [`${place} loads '${name}' with us: use 'import type', or 'await import()' where it is needed.`]
    })
  })
}

/** One AsyncLocalStorage in one place: on Node 22 each further one slows every await. */
export function wrongStorages(files: readonly SourceFile[]): string[] {
  const imports = files.flatMap((file) =>
    packagesOf(file)
      .filter(({ specifier }) => /^(node:)?async_hooks$/.test(specifier))
      .map(({ place }) => ({ place, path: file.path })),
  )
  const strangers = imports.filter(({ path }) => path !== storageFile)
  if (strangers.length > 0) {
    return strangers.map(({ place }) => `${place} imports node:async_hooks: only ${storageFile} may.`)
  }
  return imports.length === 1 ? [] : [`${storageFile} has ${imports.length} imports of node:async_hooks, expected one.`]
}

function packagesOf(file: SourceFile): Import[] {
  return importsOf(file).filter(({ target }) => target === undefined)
}

function packageName(specifier: string): string {
  const parts = specifier.split('/')
  return parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}

function roomOf(path: string): string {
  return path.split('/')[1] ?? path
}
