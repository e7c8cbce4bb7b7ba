import { type Promised, promises } from './promises.ts'

/** The last line that a command has printed, and where. */
export interface Seen {
  figure: string
  date: string
  machine: string
  node: string
  minutes: number
}

/** By command. */
export type Figures = Readonly<Record<string, Seen>>

/** `docs/reliability.md` */
export function reliabilityPage(seen: Figures): string {
  return `# Reliability

A context library that is wrong once in a million requests shows one customer another's data. Each promise here has a command that tries to break it, and that is itself seen to fail when the code is wrong. The short forms run with \`npm test\`; \`npm run reliability\` runs all long forms and writes the figures on this page, \`npm run reliability -- soak\` one of them.

That a value marked \`sensitive\`, or one that was declared for nothing, is seen in no log line, header, error or span is a promise too; \`npm test\` pushes canaries through every way out (\`test/canary\`).

${promises.map((promised) => section(promised, seen[promised.command])).join('\n')}`
}

function section({ command, args = [], title, promise, how, inTests }: Promised, last: Seen | undefined): string {
  return `## ${title}

${promise}

- **Command**: \`npm run ${[command, ...(args.length > 0 ? ['--', ...args] : [])].join(' ')}\`. ${how}
- **In \`npm test\`**: ${inTests}
- **Last seen**: ${last === undefined ? 'not yet.' : lastSeen(last)}
`
}

function lastSeen({ figure, date, machine, node, minutes }: Seen): string {
  return `\`${figure}\` (${date}, ${machine}, started by Node ${node}, ${minutes} min)`
}
