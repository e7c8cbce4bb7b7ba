import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Base, exportsOf, root } from './doc-comments.ts'

/** Writes `docs/options.md`: every option in one table, from the doc comments. Run it after a change of one. */
export interface OptionRow {
  readonly subpath: string
  readonly options: string
  readonly name: string
  readonly meaning: string
  readonly unit: string
  readonly default: string
}

const target = 'docs/options.md'
/** Names of the types of options, and of objects that are the value of an option. */
const isOptions = /(?:Options?|Limits)$|^(?:TestRequest|CapturedReply|TrustByAddress|DestinationRule|OtherService)$/

/** All options of all subpaths. An interface that several subpaths export is listed at the first one. */
export function optionRows(): OptionRow[] {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, string | { 'logical-context-source': string }>
  }
  const seen = new Set<string>()
  return Object.entries(manifest.exports).flatMap(([subpath, entry]) => {
    if (typeof entry === 'string') return []
    return exportsOf(entry['logical-context-source'].replace('./', '')).flatMap((found) => {
      const { name: options, file, members, bases } = found
      const key = `${options} ${file}`
      if (!isOptions.test(options) || seen.has(key)) return []
      seen.add(key)
      const own = members.map(({ name, isOptional, doc = '' }): OptionRow => ({
        subpath,
        options,
        name,
        ...partsOf(doc, isOptional),
      }))
      const inherited = bases.map((base): OptionRow => ({
        subpath,
        options,
        name: '…',
        meaning: optionsOf(base),
        unit: '–',
        default: '',
      }))
      return [...own, ...inherited]
    })
  })
}

function optionsOf({ name, omitted }: Base): string {
  const without = omitted.length === 0 ? '' : `, without ${omitted.map((option) => `\`${option}\``).join(' and ')}`
  return `the options of \`${name}\`${without}`
}

/** The first sentence of a doc comment, its unit and its default. */
function partsOf(doc: string, isOptional: boolean): Pick<OptionRow, 'meaning' | 'unit' | 'default'> {
  const text = doc.replaceAll(/\s+/g, ' ').replace(/ ?(?<!\S)@(?:throws|see|typeParam|param|internal)\b.*$/, '')
  const [meaning = '', byDefault] = text.split(/ ?\bDefault: /)
  const unit = /milliseconds since the epoch/.test(text)
    ? 'ms since the epoch'
    : (/(?<!`)\b(milliseconds|bytes|characters)\b/.exec(text)?.[1]?.replace('milliseconds', 'ms') ?? countedIn(meaning))
  return { meaning, unit, default: isOptional ? (byDefault?.replace(/\.$/, '') ?? 'not set') : 'required' }
}

/** What a number counts: `tasks` in "How many running and queued tasks one unit has". */
function countedIn(meaning: string): string {
  const counted = /^How many (?:accepted |running and queued )?(functions|tasks|rows|units)\b/.exec(meaning)?.[1] ?? '–'
  return / in a second\b/.test(meaning) ? `${counted} per second` : counted
}

export function optionsPage(): string {
  const rows = optionRows()
  const lines = rows.map(
    ({ subpath, options, name, meaning, unit, default: byDefault }) =>
      `| ${name === '…' ? name : `\`${name}\``} | ${cell(meaning)} | ${unit} | ${cell(byDefault)} | \`${options}\` | \`${subpath === '.' ? 'logical-context' : `…${subpath.slice(1)}`}\` |`,
  )
  return `${head}\n\n| name | what it is | unit | default | options | import |\n| --- | --- | --- | --- | --- | --- |\n${lines.join('\n')}\n`
}

const head = `# Options

Every option of the package, by subpath. \`node scripts/options-page.ts\` writes this page from the doc comments. Times are numbers in milliseconds (ms). An option with the value \`undefined\` is not set. An unknown option, or one of the wrong type, throws a \`TypeError\`.`

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll(/\{@link (\S+) ?([^}]*)\}/g, '$2')
}

if (import.meta.main) writeFileSync(join(root, target), optionsPage())
