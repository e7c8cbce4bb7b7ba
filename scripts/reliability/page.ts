import { type Promised, promises } from './promises.ts'

/** The last line that a command printed, and where. */
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

A context library that is wrong once in a million requests shows the data of one customer to another. Each promise on this page has a command that tries to break it. The check of each command is tested too: it must fail for wrong code. The short forms run with \`npm test\`. \`npm run reliability\` runs all long forms and writes their figures here; \`npm run reliability -- soak\` runs one.

${promises.map((promised) => section(promised, seen[promised.command])).join('\n')}`
}

function section({ command, args = [], title, promise, how, inTests }: Promised, last: Seen | undefined): string {
  return `## ${title}

${promise}

- **Command**: \`npm run ${[command, ...(args.length > 0 ? ['--', ...args] : [])].join(' ')}\`. ${how}
- **In \`npm test\`**: ${inTests}
- **Last result**: ${last === undefined ? 'none yet.' : lastSeen(last)}
`
}

function lastSeen({ figure, date, machine, node, minutes }: Seen): string {
  return `\`${figure}\` (${date}, ${machine}, started by Node ${node}, ${minutes} min)`
}
