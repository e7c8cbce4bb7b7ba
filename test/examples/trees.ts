/** A request of the demo, as in its output. */
export interface Tree {
  title: string
  id: string
  tenant: string
  user: string
  rows: Row[]
}

/** A row of a waterfall. */
export interface Row {
  unit: string
  /** The number of a job's attempt. */
  attempt: number | undefined
  service: string
  policy: string
  trace: string
  linked: boolean
  tenant: string
  user: string
  ms: number
  parent: Row | undefined
}

const titleForm = /^(?<id>order-\d+) {2}\d × \w+ for (?<user>\w+) of (?<tenant>\w+): .+$/
const rowForm =
  /^(?<branch>[ │├└]*)(?<unit>\S+(?: \/\S+)?)(?: #(?<attempt>\d+))? +(?<service>\w+) +(?<policy>·|inherit|only tenant|isolate) +(?<link>↗?)(?<trace>[0-9a-f]{8}) +(?<tenant>\S+) +(?<user>\S+) +━+ (?<ms>\d+) ms$/

/** @throws {Error} for a line between the trees that is not a row. */
export function readTrees(output: string): Tree[] {
  const [head = '', ...rest] = output.split('\n\n')
  if (!head.startsWith('unit ')) throw new Error(`No heading: ${head}`)
  return rest.filter((part) => part.startsWith('order-')).map(readTree)
}

function readTree(text: string): Tree {
  const [title = '', ...lines] = text.split('\n')
  const { id = '', tenant = '', user = '' } = titleForm.exec(title)?.groups ?? {}
  const rows: Row[] = []
  const path: Row[] = []
  for (const line of lines) {
    const groups = rowForm.exec(line)?.groups
    if (groups === undefined) throw new Error(`No row of a tree: ${line}`)
    const { branch = '', unit = '', service = '', policy = '', link, trace = '' } = groups
    const depth = branch.length / 2
    const row: Row = {
      attempt: groups['attempt'] === undefined ? undefined : Number(groups['attempt']),
      ...{ unit, service, policy, trace, linked: link === '↗' },
      ...{ tenant: groups['tenant'] ?? '', user: groups['user'] ?? '', ms: Number(groups['ms']) },
      parent: path[depth - 1],
    }
    path[depth] = row
    rows.push(row)
  }
  return { title, id, tenant, user, rows }
}
