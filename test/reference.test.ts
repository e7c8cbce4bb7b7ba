import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import manifest from '../package.json' with { type: 'json' }
import { exportsOf } from '../scripts/doc-comments.ts'
import { optionsPage, optionRows } from '../scripts/options-page.ts'
import { nodesOf, pathsOf, readSource, type SourceFile } from './architecture/source-file.ts'

const sources = Object.values(manifest.exports).flatMap((entry) =>
  typeof entry === 'string' ? [] : [entry['logical-context-source'].replace('./', '')],
)

/** Checked and passed on: options of Fastify, amqplib, pg-boss and BullMQ, and of functions that no subpath exports. */
const othersOptions = [
  ...['prefix', 'logLevel', 'logSerializers', 'noAck', 'batchSize', 'opts', 'children'],
  ...['trusts', 'decide', 'refuse'],
]

describe('the API reference', () => {
  it.each(sources)('has a doc comment for each exported name of %s', (source) => {
    const names = exportsOf(source)

    const missing = names.filter(({ name }) => !names.some((other) => other.name === name && other.doc !== undefined))

    expect(names.length).toBeGreaterThan(0)
    expect(missing.map(({ name, file }) => `${name} in ${file}`)).toEqual([])
  })

  it('has a doc comment for each option, and a default for each that is optional', () => {
    const rows = optionRows()

    expect(rows.length).toBeGreaterThan(90)
    expect(rows.filter(({ name, meaning }) => name !== '…' && meaning === '')).toEqual([])
    expect(rows.filter((row) => row.default === 'not set')).toEqual([])
  })

  it('has a row for each option that a function checks', () => {
    const checked = new Set(pathsOf('src/**/*.ts').map(readSource).flatMap(checkedOptions))

    const listed = optionRows().map(({ name }) => name)

    expect(checked.size).toBeGreaterThan(70)
    expect([...checked].filter((name) => !listed.includes(name) && !othersOptions.includes(name))).toEqual([])
  })

  it('names the options that a type inherits, and lists them', () => {
    const rows = optionRows()
    const optionsOf = (options: string) => rows.filter((row) => row.options === options).map(({ name }) => name)
    const inherited = rows.filter(({ name }) => name === '…').map(({ options, meaning }) => `${options}: ${meaning}`)

    expect(optionsOf('ServerOptions')).toContain('drainTimeoutMs')
    expect(inherited).toContain('LogicalContextOptions: the options of `ServerOptions`')
    expect(inherited).toContain('WebSocketOptions: the options of `NodeServerOptions`, without `replyIdHeader`')
    expect(inherited).toContain('AmqpConsumeOptions: the options of `Options.Consume`')
  })

  it('has the whole text of a doc comment with an at sign', () => {
    const row = optionRows().find(({ options, name }) => options === 'OpenTelemetryOptions' && name === 'api')

    expect(row?.meaning).toMatch(/`import \* as api from '@opentelemetry\/api'`\.$/)
  })

  it.each([
    ['SpawnOptions', 'timeoutMs', 'ms', 'no limit'],
    ['GatherOptions', 'concurrency', 'functions', 'all'],
    ['TaskLimits', 'maxPerRequest', 'tasks', 'no limit'],
    ['InspectorOptions', 'maxUnitsPerSecond', 'units per second', '100'],
    ['SpawnOptions', 'name', '–', "the function's name, or `'task'`"],
  ])('lists the option %s %s with its unit and default', (type, option, unit, byDefault) => {
    const row = optionRows().find(({ options, name }) => options === type && name === option)

    expect(row).toMatchObject({ unit, default: byDefault })
  })

  it('has a current page of all options: run node scripts/options-page.ts', () => {
    expect(readFileSync('docs/options.md', 'utf8')).toBe(optionsPage())
  })
})

/** The names in the lists of options that a file checks. */
function checkedOptions(file: SourceFile): string[] {
  return nodesOf(file).flatMap((node) => {
    const { id, init } = node as Partial<Declarator>
    if (!/^\w*checks$/i.test(id?.name ?? '') || init?.properties === undefined) return []
    return init.properties.flatMap(({ key }) => key?.name ?? [])
  })
}

interface Declarator {
  readonly id: { readonly name?: string }
  readonly init: { readonly properties?: readonly { readonly key?: { readonly name?: string } }[] } | null
}
