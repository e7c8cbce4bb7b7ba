import { type Import, importsOf, type SourceFile } from './source-file.ts'

/** Files that import each other at run time, and rooms that do so with types included. Each circle is one line. */
export function wrongCircles(files: readonly SourceFile[]): string[] {
  const imports = files.map((file) => ({ path: file.path, imports: importsOf(file) }))
  const atRunTime = graphOf(imports, ({ kind }) => kind === 'static', fileOf)
  const acrossRooms = graphOf(imports, () => true, roomOf)
  return [
    ...circlesIn(atRunTime).map((circle) => `Files import each other at run time: ${circle.join(', ')}.`),
    ...circlesIn(acrossRooms).map((circle) => `Rooms import each other: ${circle.join(', ')}.`),
  ]
}

type Graph = ReadonlyMap<string, ReadonlySet<string>>

function graphOf(
  files: readonly { readonly path: string; readonly imports: readonly Import[] }[],
  counts: (found: Import) => boolean,
  nodeOf: (path: string) => string,
): Graph {
  const graph = new Map<string, Set<string>>()
  for (const { path, imports } of files) {
    const from = nodeOf(path)
    const targets = graph.get(from) ?? new Set()
    graph.set(from, targets)
    for (const found of imports) {
      const to = found.target === undefined ? from : nodeOf(found.target)
      if (to !== from && counts(found)) targets.add(to)
    }
  }
  return graph
}

/** The strongly connected components of more than one node. */
function circlesIn(graph: Graph): string[][] {
  const reachable = new Map([...graph.keys()].map((node) => [node, reachableFrom(graph, node)]))
  const circles = new Map<string, string[]>()
  for (const node of graph.keys()) {
    if (reachable.get(node)?.has(node) !== true) continue
    const circle = [...graph.keys()].filter(
      (other) => reachable.get(node)?.has(other) === true && reachable.get(other)?.has(node) === true,
    )
    circles.set(circle.join(' '), circle)
  }
  return [...circles.values()]
}

function reachableFrom(graph: Graph, start: string): Set<string> {
  const found = new Set<string>()
  const waiting = [...(graph.get(start) ?? [])]
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (found.has(node)) continue
    found.add(node)
    waiting.push(...(graph.get(node) ?? []))
  }
  return found
}

function fileOf(path: string): string {
  return path
}

function roomOf(path: string): string {
  return path.split('/')[1] ?? path
}
