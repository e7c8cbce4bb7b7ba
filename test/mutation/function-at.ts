const declaration = /^(?:export )?(?:default )?(?:async )?(function\*?|class|const|let|interface|type) (\w+)/
const method = /^ {2}(?:(?:static|override|readonly|async|get|set) |\*)*(#?\w+)\s*[=(<]/

/**
 * The function around a line of formatted code, as `name` or `Class.name`. At the top of a module it is the name of the
 * declaration; outside any declaration it is empty. Lines count from 1.
 */
export function functionAt(source: string, line: number): string {
  let member: string | undefined
  for (const text of source.split('\n').slice(0, line).toReversed()) {
    if (text === '}') return ''
    member ??= method.exec(text)?.[1]
    const [, kind, name] = declaration.exec(text) ?? []
    if (name !== undefined) return kind === 'class' && member !== undefined ? `${name}.${member}` : name
  }
  return ''
}
