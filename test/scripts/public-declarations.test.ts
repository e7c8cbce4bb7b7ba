import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { internalTypes } from '../../scripts/public-declarations.ts'

describe('internalTypes', () => {
  it.each<[name: string, declaration: string]>([
    ['a base class', "import { Base } from './internal.ts';\nexport declare class A extends Base {}"],
    ['a base interface', "import type { Base } from './internal.ts';\nexport interface A extends Base {}"],
    [
      'an interface of a class',
      "import type { Base } from './internal.ts';\nexport declare class A implements Base {}",
    ],
    [
      'the type of a member',
      "import type { Base } from './internal.ts';\nexport interface A { base: readonly Base[] }",
    ],
    [
      'the type of a parameter',
      "import type { Base } from './internal.ts';\nexport declare function A(base?: Base): void;",
    ],
    ['the type of a value', "import { Base } from './internal.ts';\nexport declare const A: Base | undefined;"],
    [
      'a type of its own file that has it',
      "import { Base } from './internal.ts';\ntype Own = Base;\nexport declare const A: Own;",
    ],
    ['a renamed import', "import { Base as Other } from './internal.ts';\nexport type A = Other;"],
  ])('finds %s', (_, declaration) => {
    const folder = filesOf({ 'index.d.ts': declaration })

    expect(internalTypes([`${folder}/index.d.ts`])).toEqual([
      `A of ${folder}/index.d.ts reaches Base of ${folder}/internal.d.ts, which no subpath exports.`,
    ])
  })

  it('finds a type that its own file exports for other files', () => {
    const folder = filesOf({
      'index.d.ts': "export { A } from './a.ts';",
      'a.d.ts': 'export interface Base {}\nexport declare function A(): Base;',
    })

    expect(internalTypes([`${folder}/index.d.ts`])).toEqual([
      `A of ${folder}/a.d.ts reaches Base of ${folder}/a.d.ts, which no subpath exports.`,
    ])
  })

  it('finds nothing in types that another entry exports, in globals, and in types of packages', () => {
    const folder = filesOf({
      'index.d.ts':
        "import type { Other } from 'other';\nimport type { Base } from './internal.ts';\n" +
        'export declare function A<T>(base: Base, other: Other, value: T): Promise<T>;',
      'types.d.ts': "export type { Base } from './internal.ts';",
    })

    expect(internalTypes([`${folder}/index.d.ts`, `${folder}/types.d.ts`])).toEqual([])
  })
})

/** A folder with these files, and one with an internal type. */
function filesOf(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'declarations-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const all = { 'internal.d.ts': 'export declare class Base {}', ...files }
  for (const [name, text] of Object.entries(all)) writeFileSync(join(folder, name), text)
  return folder
}
