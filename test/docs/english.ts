import { spawnSync } from 'node:child_process'

/** A pattern that our English avoids, and what to write in its place. */
export interface Pattern {
  readonly name: string
  readonly write: string
  readonly pattern: RegExp
}

export interface Hit {
  readonly line: number
  readonly pattern: Pattern
  readonly text: string
}

/** Words that a regular expression can decide. A space in a pattern also matches a line break inside a comment. */
export const patterns: readonly Pattern[] = [
  {
    name: 'is no …',
    write: 'is not a …',
    pattern: /(?<!\bthere\s)\b(?:is|are|was|were) +no +(?!longer\b|more\b|less\b|later\b|earlier\b)\w+/gi,
  },
  { name: 'told of', write: 'called for, receives, logs', pattern: /\b(?:told|tells?|telling) +of\b/gi },
  { name: 'nobody', write: 'no code, no caller, a user', pattern: /\b(?:no|some|any|every)body\b/gi },
  { name: 'whoever', write: 'the code that', pattern: /\bwho(?:so)?ever\b/gi },
  { name: 'anew', write: 'again', pattern: /\banew\b/gi },
  { name: 'dear', write: 'expensive', pattern: /\bdear(?:er|est|ly)?\b/gi },
  { name: 'for want of', write: 'without', pattern: /\bfor +want +of\b/gi },
  { name: 'leave it away', write: 'omit', pattern: /\b(?:leaves?|left|leaving) +(?:(?:it|them|that|this) +)?away\b/gi },
  { name: 'for one', write: 'for example', pattern: /(?<!\bone )\bfor +one(?=[,.;:)]|$)/gim },
  { name: 'bears', write: 'has, carries', pattern: /\bbears?\b|\bborne\b/gi },
  { name: 'gives', write: 'returns, provides', pattern: /\bgives\b/gi },
  { name: 'given back', write: 'restored, returned', pattern: /\bgiv(?:e|en|ing) +back\b/gi },
  { name: 'in vain', write: 'without a result', pattern: /\bin +vain\b/gi },
  { name: 'all the same', write: 'still', pattern: /\ball +the +same\b/gi },
  { name: 'is there', write: 'exists', pattern: /\b(?:that|which|what) +(?:is|are) +there\b|\bis +there(?=[,.;:)])/gi },
  { name: 'stands', write: 'is next to, is in', pattern: /\bstands?\b(?! for| by| alone|-)/gi },
  { name: 'beside', write: 'next to, compared with, besides', pattern: /\bbeside\b/gi },
  {
    name: 'lets … run',
    write: 'runs, allows',
    pattern: /\blets +(?:the|a|an|its|no|nothing|other|all|each) +\w+ +(?:\w+ +)?(?:run|see|have|end|wait|go|be)\b/gi,
  },
  {
    name: 'a test that lets, says, …',
    write: 'throws, reports, allows, keeps',
    pattern: /(?<=^ *(?:it|describe)\b.*\(['"`])(?:lets?|says?|tells?|forgets?|remembers?)\b/gm,
  },
  {
    name: 'Of a …:',
    write: 'For a …:',
    pattern: /(?<=^|[.:*/-] +|[.*/-]{2})Of +(?:a|an|the|what|each|those) +[\w`’' -]{1,60}?:/gm,
  },
  {
    name: 'knows, tells, asks',
    write: 'has, reads; returns, logs; calls, requests',
    // Not for people, and not for names in code.
    pattern:
      /(?<!\b(?:const|let|function|async|await|you|I|we|they|users?|who|to|for|people|do +not) +|[|-] +)\b(?:(?:tells?|told|telling)(?! +of\b)|hears?|heard|believes?|believed|knows?|knew|wants?|wanted|asks?|asked|asking|thinks?)(?= +[\w`'"’])/gi,
  },
  {
    name: 'behind',
    write: 'after',
    pattern:
      /\b(?<!left |falls? |fell )behind\b(?! +(?:[\w-]+ +){0,5}(?:prox|nginx|(?:load +)?balancer|gateway|ingress|firewall))/gi,
  },
]

/** Where a text uses a pattern, in the order of its lines. */
export function findPatterns(text: string): Hit[] {
  const joined = text.replaceAll(
    /\n[ \t]*(?:\/\/+|\*(?!\/)|#+|>)?[ \t]*(?=\S)/g,
    (cut) => `\n${' '.repeat(cut.length - 1)}`,
  )
  const lines = text.split('\n')
  return patterns
    .flatMap((pattern) =>
      Array.from(joined.matchAll(spaced(pattern.pattern)), ({ index }): Hit => {
        const line = joined.slice(0, index).split('\n').length
        return { line, pattern, text: lines[line - 1]?.trim() ?? '' }
      }),
    )
    .toSorted((left, right) => left.line - right.line)
}

/** A space in a pattern matches a line break and the indentation after it. */
function spaced({ source, flags }: RegExp): RegExp {
  return new RegExp(source.replaceAll(' +', '\\s+'), flags)
}

/** The files of this repository with prose, except the two that contain the patterns. */
export function textFiles(): string[] {
  const { stdout } = spawnSync('git', ['ls-files', '*.ts', '*.js', '*.md', '*.yml', '.ci/run', '*.sh'], {
    encoding: 'utf8',
  })
  return stdout
    .trim()
    .split('\n')
    .filter((file) => !/^test\/docs\/english\.(test\.)?ts$/.test(file))
}
