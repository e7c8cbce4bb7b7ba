/** The part of package-lock.json that is checked. */
export interface Lockfile {
  readonly packages: Readonly<Record<string, LockedPackage>>
}

interface LockedPackage {
  readonly resolved?: string
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

/** It names no registry, so that it works with every one, and is whole for every platform, or `npm ci` refuses it. */
export function wrongLockfile({ packages }: Lockfile): string[] {
  const names = new Set(Object.keys(packages).map((path) => path.split('node_modules/').at(-1)))
  return Object.entries(packages).flatMap(([path, { resolved, optionalDependencies = {} }]) => {
    const missing = Object.keys(optionalDependencies).filter((name) => !names.has(name))
    return [
      ...(resolved === undefined ? [] : [`${path} is resolved to ${resolved}: .npmrc says how to leave that out.`]),
      ...missing.map((name) => `${path} needs ${name} on another platform, which is not locked.`),
    ]
  })
}
