import { describe, expect, it } from 'vitest'
import { compileModules, runModule, type WrittenModule, writeModules } from './run-blocks.ts'

const folder = 'docs-controls'
let documents = 0

describe('runModule', () => {
  it('accepts true assertions', async () => {
    const [module] = write(
      block(
        'ts',
        "const text = 'é → 🙂'",
        'text.length // => 6',
        'Object.entries({ a: undefined }) // => [["a", undefined]]',
      ),
    )

    expect(module.assertions).toEqual([4, 5])
    await runModule(module)
  })

  it('can import the package by its own name, and use top-level await', async () => {
    const [module] = write(
      block(
        'ts',
        "import { ContextVar } from 'logical-context'",
        "const tenant = new ContextVar<string>('tenant')",
        "await tenant.run('acme', async () => tenant.get()) // => 'acme'",
      ),
    )

    await runModule(module)
  })

  it.each<[name: string, lines: string[], message: RegExp]>([
    ['a wrong value', ['1 + 1 // => 3'], /^control-\d+\.md:3: expected 3, got 2\.$/],
    ['a value of another type', ["1 // => '1'"], /:3: expected '1', got 1\.$/],
    ['a missing await', ['Promise.resolve(1) // => 1'], /:3: expected 1, got a promise\. Is an 'await' missing\?$/],
    ['an expression over several lines', ['Math.max(', '  1,', '  2,', ') // => 1'], /:6: expected 1, got 2\.$/],
    ['the second turn of a loop', ['for (const n of [1, 2]) {', '  n // => 1', '}'], /:4: expected 1, got 2\.$/],
    ['a failure that the block catches', ['try {', '  1 // => 2', '} catch {}'], /:4: expected 2, got 1\.$/],
    [
      'a failure in a task that outlives the block',
      ['setTimeout(() => {', '  1 // => 2', '})'],
      /:4: expected 2, got 1\.$/,
    ],
    ['no error', ['JSON.parse("1") // => throws SyntaxError'], /:3: expected SyntaxError to be thrown, got 1\.$/],
    [
      'another error',
      ['JSON.parse("") // => throws LCTX_TIMEOUT'],
      /:3: expected LCTX_TIMEOUT to be thrown, got Syntax/,
    ],
    ['an error of the block itself', ["throw new Error('mine')"], /^mine$/],
  ])('fails for %s', async (_, lines, message) => {
    const [module] = write(block('ts', ...lines))

    await expect(runModule(module)).rejects.toThrow(message)
  })

  it('fails for an assertion that is never reached', async () => {
    const [module] = write(block('ts', 'const never = () => {', '  1 // => 1', '}'))

    await expect(runModule(module)).rejects.toThrow(/:4: this assertion was never reached\.$/)
  })

  it('accepts errors by code and by name, thrown or rejected, in plain and in async functions', async () => {
    const [module] = write(
      block(
        'ts',
        "import { withTimeout } from 'logical-context'",
        'const late = () => withTimeout(() => new Promise(() => {}), 1)',
        'late() // => throws LCTX_TIMEOUT',
        'await late() // => throws LCTX_TIMEOUT',
        'function plain() {',
        "  JSON.parse('') // => throws SyntaxError",
        '}',
        'plain()',
      ),
    )

    await runModule(module)
  })

  it('names the line of the Markdown file in the stack of an error', async () => {
    const [module] = write(
      ['# Title', '', 'Text.', '', block('ts', 'const a = 1', "throw new Error('here')")].join('\n'),
    )

    const error = await runModule(module).catch((thrown: unknown) => thrown)

    expect((error as Error).stack).toMatch(/\d+\.ts:8:/)
  })
})

describe('writeModules', () => {
  it('makes an independent module of each block, and ignores other languages', async () => {
    const modules = write(
      [block('ts', 'const a = 1'), block('sh', 'ls'), block('ts', 'const a = 2', 'a // => 2')].join('\n'),
    )

    expect(modules.map(({ name }) => name.split(':')[1])).toEqual(['3', '11'])
    for (const module of modules) await runModule(module)
  })

  it('joins a block to the one it continues', async () => {
    const modules = write([block('ts', 'const a = 1'), block('ts continue', 'a // => 1')].join('\n'))

    expect(modules).toHaveLength(1)
    await runModule(modules[0])
  })

  it('marks a block that serves, and does not change it', () => {
    const [module] = write(block('ts serves', "await import('./server.ts')"))

    expect(module.serves).toBe(true)
    expect(module.text.trim()).toBe("await import('./server.ts')\nexport {}")
  })

  it('reads blocks in lists', async () => {
    const [module] = write(['- a list', '', '  ```ts', '  1 + 1 // => 2', '  ```'].join('\n'))

    await runModule(module)
  })

  it.each<[name: string, markdown: string, message: RegExp]>([
    ['an unknown word', block('ts norun', '1'), /:2: expected 'ts', .* got 'ts norun'\.$/],
    [
      'an assertion in a block that serves',
      block('ts serves', '1 // => 1'),
      /:3: a block that serves asserts nothing\.$/,
    ],
    ['TypeScript with another name', block('typescript', '1'), /:2: a 'typescript' block is not tested/],
    ['a continuation without a block', block('ts continue', '1'), /:3: there is no block before it to continue\.$/],
    ['a block without an end', '```ts\n1', /:1: the block is never closed\.$/],
    ['an assertion on a declaration', block('ts', 'const a = 1 // => 1'), /:3: '\/\/ =>' has to follow an expression/],
    ['an assertion on nothing', block('ts', '// => 1'), /:3: '\/\/ =>' has to follow an expression/],
    ['a syntax error', block('ts', 'const = 1'), /:3: /],
  ])('refuses %s', (_, markdown, message) => {
    expect(() => write(markdown)).toThrow(message)
  })
})

describe('compileModules', () => {
  it('reports type errors by Markdown file and line, and none for correct blocks', { timeout: 60_000 }, async () => {
    const sound = write(block('ts', "import Fastify from 'fastify'", 'const unused = Fastify()', '1 // => 1'))
    const wrong = write(block('ts', "const count: number = 'many'"))

    expect(await compileModules(folder, [...sound, ...wrong])).toEqual([
      `${wrong[0].file}:3:7: error TS2322: Type 'string' is not assignable to type 'number'.`,
    ])
  })
})

function write(markdown: string): [WrittenModule, ...WrittenModule[]] {
  documents += 1
  return writeModules(folder, `control-${documents}.md`, markdown) as [WrittenModule, ...WrittenModule[]]
}

function block(info: string, ...lines: string[]): string {
  return ['', `\`\`\`${info}`, ...lines, '```'].join('\n')
}
